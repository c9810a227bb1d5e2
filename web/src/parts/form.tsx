// The one dialog: asks, says what will be lost, shows the command that does the same, and tells problems.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api";
import { refresh } from "../live";
import { Code, Said, tell } from "./bits";

export interface Field {
  key: string;
  label: string;
  kind?: "text" | "password" | "number" | "select" | "check" | "certificates";
  hint?: string;
  value?: string;
  options?: [string, string][];
  /** What may be chosen, besides whatever is typed. */
  list?: string[];
  isOptional?: boolean;
  /** Whether it stands beside another one where there is room. */
  isHalf?: boolean;
}

export type Values = Record<string, string>;

export interface Question {
  title: string;
  about?: string;
  /** What will be gone, where something will. */
  losses?: string[];
  /** The name that must be typed before it is done. */
  name?: string;
  fields?: Field[];
  verb: string;
  command?: (values: Values) => string;
  act: (values: Values) => Promise<string | undefined>;
}

const asked = signal<Question | null>(null);

/** Opens the dialog. */
export function question(what: Question): void {
  asked.value = what;
}

export function Dialog() {
  const what = asked.value;
  return what && <Form key={what.title} what={what} />;
}

function Form({ what }: { what: Question }) {
  const box = useRef<HTMLDialogElement>(null);
  const [values, set] = useState<Values>(() =>
    Object.fromEntries((what.fields ?? []).map((field) => [field.key, field.value ?? ""])),
  );
  const [typed, type] = useState("");
  const [problem, fail] = useState<Problem | null>(null);
  const [isBusy, busy] = useState(false);
  useEffect(() => box.current?.showModal(), []);

  const missing = (what.fields ?? []).find(
    (field) => !field.isOptional && field.kind !== "check" && !values[field.key],
  );
  const why = missing
    ? `${missing.label} is missing.`
    : what.name && typed !== what.name
      ? `Type ${what.name} to confirm.`
      : undefined;
  const close = () => {
    asked.value = null;
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    if (why || isBusy) return;
    busy(true);
    fail(null);
    try {
      const done = await what.act(values);
      close();
      if (done) tell(done);
      refresh();
    } catch (error) {
      fail(
        error instanceof Problem
          ? error
          : new Problem(0, "failed", error instanceof Error ? error.message : String(error)),
      );
      busy(false);
    }
  };
  return (
    <dialog ref={box} onClose={close} aria-labelledby="question">
      <form onSubmit={submit}>
        <h2 id="question">{what.title}</h2>
        {what.about && <p>{what.about}</p>}
        {what.losses && (
          <div class="losses">
            <strong>This will be gone:</strong>
            <ul>
              {what.losses.map((loss) => (
                <li key={loss}>{loss}</li>
              ))}
            </ul>
          </div>
        )}
        {what.fields && (
          <div class="fields">
            {what.fields.map((field) => (
              <Input
                key={field.key}
                field={field}
                value={values[field.key] ?? ""}
                change={(value) => set({ ...values, [field.key]: value })}
              />
            ))}
          </div>
        )}
        {what.name && (
          <Input
            field={{ key: "confirm", label: `Type ${what.name} to confirm` }}
            value={typed}
            change={type}
          />
        )}
        {what.command && (
          <pre class="same">
            <Code text={what.command(values)} />
          </pre>
        )}
        {problem && (
          <div class="trouble" role="alert">
            <strong>{problem.message}</strong>
            {problem.wayOut && (
              <span>
                <Said text={problem.wayOut} />
              </span>
            )}
          </div>
        )}
        <div class="actions">
          {why && <span class="why">{why}</span>}
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button
            type="submit"
            class={`button ${what.losses ? "bad" : "main"}`}
            aria-disabled={why || isBusy ? "true" : undefined}
          >
            {isBusy ? "At it…" : what.verb}
          </button>
        </div>
      </form>
    </dialog>
  );
}

export function Input({
  field,
  value,
  change,
}: {
  field: Field;
  value: string;
  change: (value: string) => void;
}) {
  const id = `field-${field.key}`;
  if (field.kind === "check") {
    return (
      <label class="check">
        <input
          type="checkbox"
          checked={value === "yes"}
          onChange={(e) => change(e.currentTarget.checked ? "yes" : "")}
        />
        <span>
          {field.label}
          {field.hint && <small>{field.hint}</small>}
        </span>
      </label>
    );
  }
  return (
    <div class={`field ${field.isHalf ? "half" : ""}`}>
      <label for={id}>
        {field.label}
        {field.isOptional && <span class="faint"> (optional)</span>}
      </label>
      {field.kind === "select" ? (
        <select id={id} value={value} onChange={(e) => change(e.currentTarget.value)}>
          {field.options?.map(([key, label]) => (
            <option key={key} value={key}>
              {label}
            </option>
          ))}
        </select>
      ) : field.kind === "certificates" ? (
        <Certificates id={id} value={value} change={change} />
      ) : (
        <input
          id={id}
          type={(field.kind === "password" || field.kind === "number" ? field.kind : "text") as "text"}
          min={field.kind === "number" ? 0 : undefined}
          list={field.list ? `${id}-list` : undefined}
          value={value}
          autocomplete={field.kind === "password" ? "current-password" : "off"}
          spellcheck={false}
          aria-describedby={field.hint ? `${id}-hint` : undefined}
          onInput={(e) => change(e.currentTarget.value)}
        />
      )}
      {field.list && (
        <datalist id={`${id}-list`}>
          {field.list.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      )}
      {field.hint && <small id={`${id}-hint`}>{field.hint}</small>}
    </div>
  );
}

/** PEM, pasted or from a file. */
function Certificates({ id, value, change }: { id: string; value: string; change: (value: string) => void }) {
  return (
    <>
      <textarea
        id={id}
        rows={3}
        value={value}
        spellcheck={false}
        placeholder="-----BEGIN CERTIFICATE-----"
        aria-describedby={`${id}-hint`}
        onInput={(e) => change(e.currentTarget.value)}
      />
      <input
        type="file"
        accept=".pem,.crt,.cer"
        aria-label="Take it from a file"
        onChange={(e) => void e.currentTarget.files?.[0]?.text().then(change)}
      />
    </>
  );
}
