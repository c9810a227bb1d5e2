// Groups: volumes that are marked at one instant.

import { ask, whyNot } from "../api";
import { useLive } from "../live";
import type { Group } from "../types";
import { Button } from "./bits";
import { question } from "./form";

const part = encodeURIComponent;

function newGroup(): void {
  question({
    title: "Name a group",
    about:
      "Its volumes are marked at one instant: what was written to one before another is so in the marks too.",
    fields: [
      { key: "name", label: "Name" },
      { key: "volumes", label: "Volumes", hint: "Names with commas between." },
    ],
    verb: "Name it",
    command: ({ name, volumes }) =>
      `tidemark group create ${name || "NAME"} ${volumes?.replaceAll(",", " ") || "VOLUME..."}`,
    act: async ({ name, volumes = "" }) => {
      await ask("POST", "/groups", { name, volumes: volumes.split(",").map((one) => one.trim()) });
      return `Group ${name} is there.`;
    },
  });
}

function markGroup(group: Group): void {
  question({
    title: `Take a mark of group ${group.name}`,
    about: `Of ${group.volumes.join(", ")}, at one instant.`,
    fields: [
      { key: "name", label: "Name", isOptional: true, hint: "Without one it is called after this moment." },
    ],
    verb: "Take it",
    command: ({ name }) => `tidemark group mark ${group.name}${name ? ` --name ${name}` : ""}`,
    act: async ({ name }) => {
      await ask("POST", `/groups/${part(group.name)}/marks`, name ? { name } : {});
      return `Every volume of ${group.name} has the mark.`;
    },
  });
}

function forget(group: Group): void {
  question({
    title: `Forget group ${group.name}`,
    losses: ["the name for these volumes; they and their marks stay"],
    verb: "Forget it",
    command: () => `tidemark group rm ${group.name}`,
    act: async () => {
      await ask("DELETE", `/groups/${part(group.name)}`);
      return `Group ${group.name} is forgotten.`;
    },
  });
}

export function Groups() {
  const { value: all } = useLive<Group[]>("/groups");
  const why = whyNot("operator");
  if (!all) return null;
  return (
    <section class="card" aria-labelledby="groups">
      <div class="cardhead">
        <h2 id="groups">Groups</h2>
        <Button act={newGroup} why={why}>
          Name a group
        </Button>
      </div>
      {all.length === 0 && (
        <p class="faint">Volumes of one mail server can be marked at one instant, as a group.</p>
      )}
      <ul class="letin">
        {all.map((group) => (
          <li key={group.name}>
            <strong>{group.name}</strong> <span class="faint">{group.volumes.join(", ")}</span>
            <Button
              act={() => markGroup(group)}
              why={why}
              tone="quiet"
              label={`Mark now: group ${group.name}`}
            >
              Mark now
            </Button>
            <Button act={() => forget(group)} why={why} tone="quiet" label={`Forget group ${group.name}`}>
              Forget
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
