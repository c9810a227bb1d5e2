// Protecting a volume: a policy that takes its marks, thins the old ones, and may lock each for some time.

import { ask } from "../api";
import { option, parseSize } from "../format";
import { question } from "./form";

const CLASSES = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];

/** "hourly=24,daily=7" -> what the API takes. Throws where it is something else. */
export function parseKeep(text: string): Record<string, number> {
  const keep: Record<string, number> = {};
  for (const entry of text.split(",").map((part) => part.trim())) {
    const [name = "", number = ""] = entry.split("=");
    if (!CLASSES.includes(name) || !/^\d+$/.test(number)) {
      throw new Error(
        `${entry || "nothing"} is no rule; write them as hourly=24,daily=7 of ${CLASSES.join(", ")}`,
      );
    }
    keep[name] = Number(number);
  }
  return keep;
}

/** Opens the dialog; with the volume where it is known. */
export function protect(volume?: string): void {
  question({
    title: volume ? `Protect ${volume}` : "Protect volumes",
    about:
      "Marks are taken by themselves, and the old ones thinned. Held marks and those made by hand are never touched.",
    fields: [
      {
        key: "name",
        label: "Name of the policy",
        value: volume ?? "",
        hint: "The names of its marks begin with it.",
      },
      {
        key: "volumes",
        label: "Volumes, marked at one instant",
        value: volume ?? "",
        hint: "Names with commas between.",
      },
      {
        key: "every",
        label: "How often",
        value: "15m",
        isOptional: true,
        hint: "Such as 5m, 1h, 6h or 1d, even with the clock.",
      },
      {
        key: "changed",
        label: "As soon as so much has changed",
        isOptional: true,
        hint: "Such as 1G, instead of or beside the clock.",
      },
      {
        key: "passed",
        label: "As soon as so much time has passed since its last run",
        isOptional: true,
        hint: "Such as 1h: so there is a mark in any case where little changes.",
      },
      {
        key: "keep",
        label: "Which marks stay",
        value: "last=8,hourly=24,daily=14,weekly=8,monthly=12",
        hint: "The newest, and the first of each hour, day, week, month and year; 256 in all at most.",
      },
      {
        key: "lock",
        label: "Lock each mark for",
        isOptional: true,
        hint: "Such as 30d: nobody can remove it before, you neither. Not with an amount of changed data.",
      },
      { key: "skip", label: "Leave a run out where nothing has changed", kind: "check", value: "yes" },
    ],
    verb: "Protect",
    command: ({ name, volumes, every, changed, passed, keep, lock, skip }) =>
      `tidemark policy create ${name || "NAME"} ${volumes?.replaceAll(" ", "") || "VOLUME"}` +
      option("every", every) +
      option("changed", changed) +
      option("passed", passed) +
      ` --keep ${keep}${option("lock", lock)}${skip ? " --skip-unchanged" : ""}`,
    act: async ({ name, volumes = "", every, changed, passed, keep = "", lock, skip }) => {
      const names = volumes.split(",").map((one) => one.trim());
      const bytes = changed ? parseSize(changed) : undefined;
      if (bytes === null) throw new Error(`${changed} is not a size; write it as 1G`);
      const rules = {
        name,
        volumes: names,
        keep: parseKeep(keep),
        skip_unchanged: skip === "yes",
        ...(every ? { every } : {}),
        ...(bytes ? { changed: bytes } : {}),
        ...(passed ? { passed } : {}),
        ...(lock ? { lock } : {}),
      };
      await ask("POST", "/policies", rules);
      return `Policy ${name} protects ${volumes}.`;
    },
  });
}
