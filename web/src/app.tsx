// The frame: where one can go, who one is, whether the appliance answers, and the page.

import { useEffect } from "preact/hooks";
import { ask, findWho, isReachable, who } from "./api";
import { count } from "./format";
import { begin, useLive } from "./live";
import { Adopt } from "./pages/adopt";
import { Alerts } from "./pages/alerts";
import { Audit } from "./pages/audit";
import { Capacity } from "./pages/capacity";
import { Jobs } from "./pages/jobs";
import { Login } from "./pages/login";
import { Now } from "./pages/now";
import { Policies } from "./pages/policies";
import { PolicyPage } from "./pages/policy";
import { ChangePolicy, Protect } from "./pages/protect";
import { Settings } from "./pages/settings";
import { Setup } from "./pages/setup";
import { Start } from "./pages/start";
import { Targets } from "./pages/targets";
import { Users } from "./pages/users";
import { Views } from "./pages/views";
import { VolumePage } from "./pages/volume";
import { Volumes } from "./pages/volumes";
import { Empty, Loading, notice } from "./parts/bits";
import { Dialog } from "./parts/form";
import { route, to } from "./router";
import type { Status } from "./types";

/** How often the frame asks how the appliance is, at most, while no event comes. */
const FRAME_POLL_MS = 15_000;

/** Under which of the places a page lies that is none of them. */
const UNDER: Record<string, string> = { adopt: "volumes", protect: "policies", start: "" };

const PLACES: [string, string][] = [
  ["", "Now"],
  ["volumes", "Volumes"],
  ["views", "Views"],
  ["targets", "Targets"],
  ["policies", "Policies"],
  ["capacity", "Capacity"],
  ["jobs", "Jobs"],
  ["alerts", "Alerts"],
  ["audit", "Audit"],
  ["users", "Users"],
  ["settings", "Settings"],
];

function Page() {
  const [place = "", name, what] = route.value;
  switch (place) {
    case "":
      return <Now />;
    case "volumes":
      return name ? <VolumePage key={name} name={name} /> : <Volumes />;
    case "adopt":
      return <Adopt />;
    case "protect":
      return <Protect key={name} volume={name} />;
    case "start":
      return <Start />;
    case "views":
      return <Views />;
    case "targets":
      return <Targets />;
    case "policies":
      if (name && what === "change") return <ChangePolicy key={name} name={name} />;
      return name ? <PolicyPage key={name} name={name} /> : <Policies />;
    case "capacity":
      return <Capacity />;
    case "jobs":
      return <Jobs />;
    case "alerts":
      return <Alerts />;
    case "audit":
      return <Audit />;
    case "users":
      return <Users />;
    case "settings":
      return <Settings />;
    default:
      return (
        <Empty title="There is no such page" isPage action={<a href={to()}>Go to Now</a>}>
          The address may be of another version of the console.
        </Empty>
      );
  }
}

async function leave(): Promise<void> {
  await ask("DELETE", "/session").catch(() => undefined);
  await findWho();
}

function Inside({ user, role, canLeave }: { user: string; role: string; canLeave: boolean }) {
  useEffect(begin, []);
  const place = route.value[0] ?? "";
  const here = UNDER[place] ?? place;
  const { value: status } = useLive<Status>("/status", FRAME_POLL_MS);
  const called = status?.name;
  const alerts = status?.alerts_open ?? 0;
  useEffect(() => {
    const label = PLACES.find(([place]) => place === here)?.[1];
    const parts = [route.value[1] ?? label, called, "Tidemark"];
    document.title = parts.filter(Boolean).join(" · ");
  }, [route.value, called]);
  useEffect(() => {
    // On a phone the places are a row that scrolls.
    document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [route.value, alerts > 0]);
  return (
    <div class="frame">
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        To the page
      </button>
      <nav aria-label="Pages">
        <a class="brand" href={to()}>
          <img src={MARK} alt="" width="28" height="28" />
          <span>
            Tidemark
            {called && <small title={`This appliance is called ${called}`}>{called}</small>}
          </span>
        </a>
        <ul>
          {PLACES.map(([place, label]) => (
            <li key={place}>
              <a href={place ? to(place) : to()} aria-current={here === place ? "page" : undefined}>
                {label}
                {place === "alerts" && alerts > 0 && (
                  <span class="open" title={count(alerts, "open alert")}>
                    {alerts}
                    <span class="hidden"> open</span>
                  </span>
                )}
              </a>
            </li>
          ))}
        </ul>
        <div class="me">
          <span>
            {user} <span class="faint">{role}</span>
          </span>
          {canLeave && (
            <button type="button" onClick={leave}>
              Sign out
            </button>
          )}
        </div>
      </nav>
      <main id="main" tabIndex={-1}>
        <Page />
      </main>
    </div>
  );
}

export function App() {
  const now = who.value;
  return (
    <>
      <div class="notices" aria-live="polite">
        {!isReachable.value && (
          <div class="notice bad">
            The appliance does not answer. What you see may be old; it is tried again.
          </div>
        )}
        {notice.value && (
          <div class={`notice ${notice.value.isBad ? "bad" : ""}`}>
            {notice.value.text}
            <button type="button" aria-label="Close this notice" onClick={() => (notice.value = null)}>
              ×
            </button>
          </div>
        )}
      </div>
      {now.is === "unknown" && <Loading />}
      {now.is === "nobody" && (route.value[0] === "setup" || now.isFresh ? <Setup /> : <Login />)}
      {now.is === "somebody" && (
        <Inside user={now.session.user} role={now.session.role} canLeave={now.session.csrf !== ""} />
      )}
      <Dialog />
    </>
  );
}
