// Portals, whose state tells initiators which way to a disk to prefer, and the accounts of discovery.

import { ask, whyNot } from "../api";
import { count } from "../format";
import { useLive } from "../live";
import type { ChapUser, Portal } from "../types";
import { Badge, Button, Trouble } from "./bits";
import { question } from "./form";

const STATES: [string, string][] = [
  ["optimized", "optimized: use this one"],
  ["non-optimized", "non-optimized: it works, the other is better"],
  ["standby", "standby: only if no other is left"],
  ["unavailable", "unavailable: it answers, and serves nothing"],
];

function setState(group: number, state: string): void {
  question({
    title: `State of port group ${group}`,
    about:
      "Initiators with several ways to a disk are told, and prefer another one. Reservations hold over all ways.",
    fields: [{ key: "state", label: "State", kind: "select", value: state, options: STATES }],
    verb: "Set it",
    command: ({ state: to }) => `tidemark portal set ${group} ${to}`,
    act: async ({ state: to }) => {
      await ask("PATCH", `/portals/${group}`, { state: to });
      return `Port group ${group} is ${to}.`;
    },
  });
}

export function Portals() {
  const { value: all, problem } = useLive<Portal[]>("/portals");
  if (problem) return <Trouble problem={problem} what="portals" />;
  if (!all) return null;
  const groups = [...new Set(all.map((portal) => portal.group))];
  return (
    <section class="card" aria-labelledby="portals">
      <div class="cardhead">
        <h2 id="portals">Portals</h2>
        <span class="faint">{groups.length > 1 ? "several ways to one disk" : "one way"}</span>
      </div>
      {groups.length === 0 && <p class="faint">iSCSI is closed: no portal listens.</p>}
      <ul class="letin">
        {groups.map((group) => {
          const of = all.filter((portal) => portal.group === group);
          const state = of[0]?.state ?? "";
          const sessions = of.reduce((sum, portal) => sum + portal.sessions, 0);
          return (
            <li key={group}>
              <strong>Group {group}</strong>
              <Badge tone={state === "optimized" ? "good" : state === "unavailable" ? "bad" : "warn"}>
                {state}
              </Badge>
              {of.map((portal) => portal.address && <code key={portal.address}>{portal.address}</code>)}
              <span class="faint">{count(sessions, "session")}</span>
              <Button
                act={() => setState(group, state)}
                why={whyNot("operator")}
                tone="quiet"
                label={`Set state: port group ${group}`}
              >
                Set state
              </Button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function setAccount(): void {
  question({
    title: "A CHAP user of discovery",
    about: "Once there is one, an initiator must show it before it is told which targets there are.",
    fields: [
      { key: "user", label: "Name" },
      { key: "secret", label: "Secret", kind: "password", hint: "12 to 255 bytes; Windows takes 12 to 16." },
      { key: "mutual", label: "It is this appliance's own, for mutual CHAP", kind: "check" },
    ],
    verb: "Set it",
    command: ({ user, mutual }) =>
      `tidemark chap set --discovery ${user || "USER"}${mutual ? " --mutual" : ""}`,
    act: async ({ user, secret, mutual }) => {
      await ask("POST", "/discovery/chap", { user, secret, is_mutual: mutual === "yes" });
      return `The secret of ${user} is set.`;
    },
  });
}

function removeAccount(user: string): void {
  question({
    title: `Remove the CHAP user ${user} of discovery`,
    losses: [
      "discovery by whoever uses this name; without any user, everyone is told of the targets that let them in",
    ],
    verb: "Remove it",
    command: () => `tidemark chap rm --discovery ${user}`,
    act: async () => {
      await ask("DELETE", `/discovery/chap/${encodeURIComponent(user)}`);
      return `${user} is gone.`;
    },
  });
}

export function Discovery() {
  const { value: all, problem } = useLive<ChapUser[]>("/discovery/chap");
  if (problem) return <Trouble problem={problem} what="accounts of discovery" />;
  if (!all) return null;
  const why = whyNot("admin");
  return (
    <section class="card" aria-labelledby="discovery">
      <div class="cardhead">
        <h2 id="discovery">Discovery</h2>
        <Button act={setAccount} why={why}>
          Set a CHAP user
        </Button>
      </div>
      {all.length === 0 && (
        <p class="faint">Initiators are told of the targets that let them in without showing a secret.</p>
      )}
      <ul class="letin">
        {all.map((one) => (
          <li key={one.user}>
            <code>{one.user}</code> {one.is_mutual && <Badge>its own</Badge>}
            <Button act={() => removeAccount(one.user)} why={why} tone="quiet" label={`Remove ${one.user}`}>
              Remove
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
