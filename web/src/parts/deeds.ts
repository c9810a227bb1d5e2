// What can be done to marks, views and volumes: the question, the command and the request of each.

import { ask, whyNot } from "../api";
import { count, freed, option, parseSize, size } from "../format";
import { go } from "../router";
import type { Freed, Mark, View, Volume } from "../types";
import { tell } from "./bits";
import { type Field, question, type Values } from "./form";

const GRADES: [string, string][] = [
  ["crash", "crash: as after a power cut"],
  ["filesystem", "file system: you have frozen it"],
  ["application", "application: you have quiesced it"],
];

const MOUNT: Field = {
  key: "mount",
  label: "Mount its file system at",
  isOptional: true,
  hint: "A folder on that host, such as /mnt/rescue.",
};

const part = encodeURIComponent;

export function newVolume(): void {
  question({
    title: "Make a volume",
    about: "It is thin: it takes only the space that is written.",
    fields: [
      { key: "name", label: "Name", hint: "Letters, digits, dots, dashes; as clients will ask for it." },
      {
        key: "size",
        label: "Size",
        value: "100G",
        hint: "Such as 200G or 2T. A volume grows, and never shrinks.",
      },
    ],
    verb: "Make it",
    command: ({ name, size: of }) => `tidemark volume create ${name || "NAME"} --size ${of || "SIZE"}`,
    act: async ({ name = "", size: text = "" }) => {
      const bytes = parseSize(text);
      if (bytes === null) throw new Error(`${text} is not a size; write it as 200G or 2T`);
      await ask("POST", "/volumes", { name, size: bytes });
      go("volumes", name);
      return `Volume ${name} is there, and exported over NBD.`;
    },
  });
}

export function takeMark(volume: string): void {
  question({
    title: `Take a mark of ${volume}`,
    about: "It takes no time that depends on the size or the load.",
    fields: [
      {
        key: "name",
        label: "Name",
        isOptional: true,
        hint: "Without one it is called after this moment, in UTC.",
      },
      {
        key: "grade",
        label: "How consistent you have made it",
        kind: "select",
        value: "crash",
        options: GRADES,
      },
    ],
    verb: "Take it",
    command: ({ name, grade }) =>
      `tidemark mark take ${volume}${option("name", name)}${grade === "crash" ? "" : option("grade", grade)}`,
    act: async ({ name, grade }) => {
      const taken = await ask<Mark[]>("POST", "/marks", {
        volumes: [volume],
        grade,
        ...(name ? { name } : {}),
      });
      return `Took ${volume}@${taken[0]?.name}.`;
    },
  });
}

/** Attaches a disk to the daemon's host, and says where it is. */
async function attachAt(of: string, mount: string | undefined, isReadOnly: boolean): Promise<string> {
  const made = await ask<{ device: string; mounted_at: string | null }>("POST", "/attachments", {
    of,
    is_read_only: isReadOnly,
    ...(mount ? { mount } : {}),
  });
  return `${of} is ${made.device}${made.mounted_at ? `, mounted at ${made.mounted_at}` : ""}.`;
}

/** What a view is called where nobody says otherwise: what it shows. */
function viewName({ volume, name }: Mark): string {
  return (name.startsWith(`${volume}-`) ? name : `${volume}-${name}`).slice(0, 63);
}

export function openView(mark: Mark): void {
  const at = `${mark.volume}@${mark.name}`;
  const whyNotMounted = whyNot("operator");
  question({
    title: `Open a view of ${at}`,
    about: "A read-write disk of its own, at once; the volume and the mark stay as they are.",
    fields: [
      { key: "name", label: "Name of the view", value: viewName(mark) },
      ...(whyNotMounted ? [] : [{ ...MOUNT, label: "Mount it on the daemon's host at" }]),
    ],
    verb: "Open it",
    command: ({ name, mount }) =>
      `tidemark view create ${name || "NAME"} ${at}${mount ? `\ntidemark attach view/${name || "NAME"} --mount ${mount}` : ""}`,
    act: async ({ name, mount }) => {
      await ask("POST", "/views", { name, of: at });
      const made = `View ${name} is there; its NBD export is view/${name}.`;
      if (!mount) return made;
      try {
        return await attachAt(`view/${name}`, mount, false);
      } catch (error) {
        // The view is there all the same: the dialog must not ask for it again.
        tell(`${made} It could not be mounted: ${error instanceof Error ? error.message : error}`, true);
        return undefined;
      }
    },
  });
}

export function rollBack(mark: Mark): void {
  const at = `${mark.volume}@${mark.name}`;
  question({
    title: `Roll ${mark.volume} back to ${mark.name}`,
    about:
      "The volume reads as at that mark at once. What is there now gets a mark of its own first, so that undo goes " +
      "back to it. Clients keep old contents in their caches: unmount the file system before.",
    losses: [
      `from the live volume: everything written to ${mark.volume} since ${mark.name} (kept in the new mark)`,
    ],
    name: mark.volume,
    verb: "Roll back",
    command: () => `tidemark rollback ${at}`,
    act: async () => {
      const begun = await ask<{ safety: string }>("POST", `/volumes/${part(mark.volume)}/rollback`, {
        mark: mark.name,
      });
      return `${mark.volume} reads as at ${mark.name}; what was there is ${mark.volume}@${begun.safety}.`;
    },
  });
}

export function undo(volume: string): void {
  question({
    title: `Undo the last rollback of ${volume}`,
    about:
      "The volume reads again as it was before the rollback; what is there now gets a mark of its own first.",
    verb: "Undo it",
    command: () => `tidemark undo ${volume}`,
    act: async () => {
      await ask("POST", `/volumes/${part(volume)}/undo`);
      return `The rollback of ${volume} is undone.`;
    },
  });
}

export function scrub(volume: string): void {
  question({
    title: `Scrub ${volume}`,
    about:
      "The volume and all its marks are read and compared with their checksums. Clients go on meanwhile.",
    verb: "Scrub it",
    command: () => `tidemark scrub ${volume}`,
    act: async () => {
      const job = await ask<{ id: number }>("POST", `/volumes/${part(volume)}/scrub`);
      return `Job ${job.id} reads ${volume}; see Jobs.`;
    },
  });
}

export function hold(mark: Mark): void {
  const at = `${mark.volume}@${mark.name}`;
  question({
    title: `Hold ${at}`,
    about:
      "No policy thins it and nobody removes it, until the hold ends or is released. Only the time during which the " +
      "daemon runs counts, so that a moved clock ends nothing early.",
    fields: [
      {
        key: "span",
        label: "For how long",
        isOptional: true,
        hint: "Such as 12h, 30d, 4w or 1y; without it, until it is released.",
      },
    ],
    verb: "Hold it",
    command: ({ span }) => `tidemark mark hold ${at}${option("for", span)}`,
    act: async ({ span }) => {
      const change = { is_held: true, ...(span ? { hold_for: span } : {}) };
      await ask("PATCH", `/volumes/${part(mark.volume)}/marks/${part(mark.name)}`, change);
      return span ? `${mark.name} is held for ${span}.` : `${mark.name} is held until it is released.`;
    },
  });
}

export async function letGo(mark: Mark): Promise<void> {
  await ask("PATCH", `/volumes/${part(mark.volume)}/marks/${part(mark.name)}`, { is_held: false });
}

export function lock(mark: Mark): void {
  const at = `${mark.volume}@${mark.name}`;
  question({
    title: `Lock ${at}`,
    about:
      "Until its time is over nothing removes this mark, nor its volume: no policy, no admin, no full pool. Nobody can " +
      "take the lock back or make it shorter. Only the time during which the daemon runs counts.",
    losses: ["the way to remove this mark or its volume before the lock ends"],
    fields: [{ key: "span", label: "For how long", value: "30d", hint: "Such as 12h, 30d, 4w or 1y." }],
    name: mark.name,
    verb: "Lock it",
    command: ({ span }) => `tidemark mark lock ${at} --for ${span || "SPAN"}`,
    act: async ({ span }) => {
      await ask("POST", `/volumes/${part(mark.volume)}/marks/${part(mark.name)}/lock`, { lock_for: span });
      return `${mark.name} is locked for ${span}.`;
    },
  });
}

/** Asks how much would come back, then whether to remove it. */
export async function removeMark(mark: Mark): Promise<void> {
  const at = `${mark.volume}@${mark.name}`;
  const seen = await ask<Freed>(
    "GET",
    `/volumes/${part(mark.volume)}/removal-preview?marks=${part(mark.name)}`,
  );
  question({
    title: `Delete ${at}`,
    about: `That gives back ${freed(seen)}.`,
    losses: [`the way back to ${at}; no other mark changes`],
    name: mark.name,
    verb: "Delete it",
    command: () => `tidemark mark rm ${at}`,
    act: async () => {
      await ask("DELETE", `/volumes/${part(mark.volume)}/marks/${part(mark.name)}`);
      return `${at} is gone.`;
    },
  });
}

export function removeVolume(volume: Volume): void {
  const losses = [
    `${size(volume.allocated_bytes)} of contents of volume ${volume.name}`,
    ...(volume.marks > 0 ? [`${count(volume.marks, "mark")}, and every way back with them`] : []),
  ];
  question({
    title: `Remove volume ${volume.name}`,
    losses,
    name: volume.name,
    verb: "Remove it",
    command: () => `tidemark volume rm ${volume.name}`,
    act: async () => {
      await ask("DELETE", `/volumes/${part(volume.name)}`);
      go("volumes");
      return `Volume ${volume.name} is gone.`;
    },
  });
}

export function release(volume: Volume): void {
  question({
    title: `Release volume ${volume.name}`,
    about: `${volume.path} is brought up to date and is a plain disk again.`,
    losses: [
      `${count(volume.marks, "mark")} of ${volume.name}; the disk itself stays, with what was written`,
    ],
    name: volume.name,
    verb: "Release it",
    command: () => `tidemark volume release ${volume.name}`,
    act: async () => {
      await ask("POST", `/volumes/${part(volume.name)}/release`);
      go("jobs");
      return `${volume.name} is being released; the job tells when it is through.`;
    },
  });
}

const SETTINGS: Field[] = [
  {
    key: "sync",
    label: "An answer to a write promises that it survives",
    kind: "select",
    options: [
      ["volatile", "the end of the daemon; a flush, a power cut"],
      ["always", "a power cut"],
    ],
  },
  {
    key: "when_marks_full",
    label: "At the 257th mark",
    kind: "select",
    options: [
      ["refuse", "it is refused"],
      ["thin", "the oldest mark that may go goes"],
    ],
  },
  {
    key: "when_store_full",
    label: "With no room left to preserve old blocks",
    kind: "select",
    options: [
      ["drop_oldest", "the oldest mark goes; writes go on"],
      ["protect_marks", "no mark goes; writes are refused"],
    ],
  },
];

export function setVolume(volume: Volume): void {
  const now: Values = { ...volume } as unknown as Values;
  const fields = SETTINGS.map((field) => ({ ...field, value: String(now[field.key]) }));
  const changed = (values: Values) =>
    Object.keys(values).filter((key) => key !== "size" && values[key] !== now[key]);
  question({
    title: `Settings of ${volume.name}`,
    fields: [
      { key: "size", label: `Grow from ${size(volume.size)} to`, isOptional: true, hint: "Such as 400G." },
      ...fields,
    ],
    verb: "Save",
    command: (values) =>
      [
        ...(values.size ? [`tidemark volume grow ${volume.name} --size ${values.size}`] : []),
        ...(changed(values).length > 0
          ? [
              `tidemark volume set ${volume.name} ${changed(values)
                .map((key) => `--${key.replaceAll("_", "-")} ${values[key]?.replaceAll("_", "-")}`)
                .join(" ")}`,
            ]
          : []),
      ].join("\n") || `tidemark volume show ${volume.name}`,
    act: async (values) => {
      const bytes = values.size ? parseSize(values.size) : undefined;
      if (bytes === null) throw new Error(`${values.size} is not a size; write it as 400G`);
      const change = Object.fromEntries(changed(values).map((key) => [key, values[key]]));
      await ask("PATCH", `/volumes/${part(volume.name)}`, { ...change, ...(bytes ? { size: bytes } : {}) });
      return `${volume.name} is changed.`;
    },
  });
}

export function removeView(view: View): void {
  question({
    title: `Drop view ${view.name}`,
    about: `The mark ${view.of} stays.`,
    losses: [`${size(view.allocated_bytes)} written to the view, and its own marks`],
    name: view.name,
    verb: "Drop it",
    command: () => `tidemark view rm ${view.name}`,
    act: async () => {
      await ask("DELETE", `/views/${part(view.name)}`);
      return `View ${view.name} is gone.`;
    },
  });
}

export function promote(view: View): void {
  question({
    title: `Promote view ${view.name}`,
    about: `Everything that it reads from ${view.of} is copied, and it becomes a volume that needs that mark no more.`,
    verb: "Promote it",
    command: () => `tidemark view promote ${view.name}`,
    act: async () => {
      await ask("POST", `/views/${part(view.name)}/promote`);
      return `View ${view.name} is being promoted; see Jobs.`;
    },
  });
}

export function attach(of: string): void {
  question({
    title: `Attach ${of} to the daemon's host`,
    fields: [MOUNT, { key: "read_only", label: "Take no changes", kind: "check" }],
    verb: "Attach it",
    command: ({ mount, read_only }) =>
      `tidemark attach ${of}${option("mount", mount)}${read_only ? " --read-only" : ""}`,
    act: ({ mount, read_only }) => attachAt(of, mount, read_only === "yes"),
  });
}
