// Small parts that every page has.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import type { Problem } from "../api";
import { percent } from "../format";
import { to } from "../router";

/** What was last done or refused, told once and to screen readers. */
export const notice = signal<{ text: string; isBad: boolean } | null>(null);

let fading = 0;

/** Tells it; what is bad, or must be copied, stays until it is closed. */
export function tell(text: string, isBad = false, stays = isBad): void {
  notice.value = { text, isBad };
  clearTimeout(fading);
  if (!stays) fading = setTimeout(() => (notice.value = null), 6000) as unknown as number;
}

interface ButtonProps {
  children: ComponentChildren;
  act: () => void;
  /** Why it cannot be pressed now. */
  why?: string | undefined;
  tone?: "main" | "bad" | "quiet";
  label?: string;
}

/** A button that says why, where it cannot be pressed. */
export function Button({ children, act, why, tone, label }: ButtonProps) {
  return (
    <button
      type="button"
      class={`button ${tone ?? ""}`}
      aria-disabled={why ? "true" : undefined}
      aria-label={label}
      title={why}
      onClick={() => (why ? tell(why, true) : act())}
    >
      {children}
    </button>
  );
}

/** What the appliance says, with what stands between backticks as code. */
export function Said({ text }: { text: string }) {
  return text.split("`").map((piece, n) => (n % 2 === 1 ? <code>{piece}</code> : piece));
}

/** What has an alert or a trouble, with a way to where it is seen. */
export function Culprit({ of }: { of: string }) {
  const [kind, name] = of.split(" ");
  const address =
    kind === "policy" && name ? to("policies", name) : of.startsWith("view/") ? to("views") : undefined;
  return <strong>{address ? <a href={address}>{of}</a> : of}</strong>;
}

/** Commands, which break between words and not at the dashes of an option. */
export function Code({ text }: { text: string }) {
  return text.split(/(\s+)/).map((word, n) =>
    word.trim() ? (
      <span key={n} class="word">
        {word}
      </span>
    ) : (
      word
    ),
  );
}

/** The commands that do the same as this page. */
export function Commands({ lines }: { lines: string[] }) {
  const copy = () =>
    navigator.clipboard.writeText(lines.join("\n")).then(
      () => tell("Copied."),
      () => tell("The browser does not let this page copy; select the text instead.", true),
    );
  return (
    <aside class="commands" aria-label="The same on the command line">
      <div>
        <span>On the command line</span>
        <button type="button" onClick={copy}>
          Copy
        </button>
      </div>
      <pre>
        <Code text={lines.join("\n")} />
      </pre>
    </aside>
  );
}

export function Head({
  title,
  about,
  children,
}: {
  title: string;
  about?: ComponentChildren;
  children?: ComponentChildren;
}) {
  return (
    <header class="head">
      <div>
        <h1 tabIndex={-1}>{title}</h1>
        {about && <p>{about}</p>}
      </div>
      {children && <div class="actions">{children}</div>}
    </header>
  );
}

export function Empty({
  title,
  children,
  action,
  isPage = false,
}: {
  title: string;
  children: ComponentChildren;
  action?: ComponentChildren;
  /** Whether it is all that the page has. */
  isPage?: boolean;
}) {
  return (
    <div class="empty">
      <svg viewBox="0 0 120 40" aria-hidden="true">
        <path d="M4 28c14-12 28-12 42 0s28 12 42 0 22-9 28-4" />
        <path class="second" d="M4 36c14-12 28-12 42 0s28 12 42 0 22-9 28-4" />
        <path class="post" d="M60 4v22" />
        <circle cx="60" cy="5" r="3" />
      </svg>
      {isPage ? <h1 tabIndex={-1}>{title}</h1> : <h2>{title}</h2>}
      <p>{children}</p>
      {action}
    </div>
  );
}

/** What stands in the place of something that could not be had. */
export function Trouble({ problem, what }: { problem: Problem; what: string }) {
  if (problem.status === 404 && problem.message.includes("address")) {
    return <Empty title={`This daemon has no ${what}`}>It is of a version that does not know them.</Empty>;
  }
  return (
    <div class="trouble" role="alert">
      <strong>{problem.message}</strong>
      {problem.wayOut && (
        <span>
          <Said text={problem.wayOut} />
        </span>
      )}
    </div>
  );
}

interface MeterProps {
  part: number;
  whole: number;
  label: string;
  /** Whether it is good when it is full: the way of some work, not room. */
  isProgress?: boolean;
}

export function Meter({ part, whole, label, isProgress = false }: MeterProps) {
  const share = whole > 0 ? Math.min(1, part / whole) : 0;
  const tone = isProgress ? "" : share > 0.95 ? "bad" : share > 0.85 ? "warn" : "";
  return (
    <svg
      class={`meter ${tone}`}
      viewBox="0 0 100 4"
      preserveAspectRatio="none"
      role="img"
      aria-label={`${label}: ${percent(part, whole)}`}
    >
      <rect width="100" height="4" class="bed" />
      <rect width={share * 100} height="4" class="fill" />
    </svg>
  );
}

export function Badge({
  tone,
  children,
}: {
  tone?: "good" | "warn" | "bad" | "info" | undefined;
  children: ComponentChildren;
}) {
  return <span class={`badge ${tone ?? ""}`}>{children}</span>;
}

const STATES = { ready: "ready", read_only: "read-only", fail_stop: "stopped" } as const;

export function StateBadge({ state }: { state: keyof typeof STATES }) {
  return <Badge tone={state === "ready" ? "good" : "bad"}>{STATES[state]}</Badge>;
}

export function Loading() {
  return <p class="loading">Asking the appliance…</p>;
}
