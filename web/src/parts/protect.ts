// Protecting a volume: a policy that takes its marks and thins the old ones.

import { ask } from "../api";
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
        hint: "Such as 5m, 1h, 6h or 1d, even with the clock.",
      },
      {
        key: "keep",
        label: "Which marks stay",
        value: "last=8,hourly=24,daily=14,weekly=8,monthly=12",
        hint: "The newest, and the first of each hour, day, week, month and year; 256 in all at most.",
      },
      { key: "skip", label: "Leave a run out where nothing has changed", kind: "check", value: "yes" },
    ],
    verb: "Protect",
    command: ({ name, volumes, every, keep, skip }) =>
      `tidemark policy create ${name || "NAME"} ${volumes?.replaceAll(" ", "") || "VOLUME"} --every ${every} ` +
      `--keep ${keep}${skip ? " --skip-unchanged" : ""}`,
    act: async ({ name, volumes = "", every, keep = "", skip }) => {
      const names = volumes.split(",").map((one) => one.trim());
      const rules = { name, volumes: names, every, keep: parseKeep(keep), skip_unchanged: skip === "yes" };
      await ask("POST", "/policies", rules);
      return `Policy ${name} protects ${volumes}.`;
    },
  });
}
