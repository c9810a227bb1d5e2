// Choosing a disk of the daemon's host: from those that it has, or by the path of an image.

import { useEffect, useState } from "preact/hooks";
import { ask, Problem } from "../api";
import { size } from "../format";
import { useLive } from "../live";
import type { Candidate } from "../types";
import { Trouble } from "./bits";
import { Input } from "./form";
import { Choice } from "./wizard";

/** How long is waited after a letter before the host is asked about the path. */
const TYPING_MS = 300;

interface DiskProps {
  disk: Candidate | null;
  set: (disk: Candidate | null) => void;
}

/** Why this disk will not do. */
export function whyNotDisk(disk: Candidate | null): string | undefined {
  if (!disk) return "Choose a disk, or name the path of an image.";
  return disk.obstacle ? `${disk.path}: ${disk.obstacle}.` : undefined;
}

export function DiskChoice({ disk, set }: DiskProps) {
  const { value: all, problem } = useLive<Candidate[]>("/candidates", 60_000);
  const [path, type] = useState(disk && !all?.some((one) => one.path === disk.path) ? disk.path : "");
  const [trouble, fail] = useState<Problem | null>(null);
  useEffect(() => {
    fail(null);
    if (path === "") return;
    set(null);
    const look = async () => {
      try {
        const found = await ask<Candidate[]>("GET", `/candidates?path=${encodeURIComponent(path)}`);
        set(found[0] ?? null);
      } catch (error) {
        fail(error instanceof Problem ? error : new Problem(0, "failed", String(error)));
      }
    };
    const timer = setTimeout(look, TYPING_MS);
    return () => clearTimeout(timer);
  }, [path]);
  const choose = (wanted: string) => {
    type("");
    set(all?.find((one) => one.path === wanted) ?? null);
  };
  return (
    <>
      {problem && <Trouble problem={problem} what="disks" />}
      {all && all.length > 0 && (
        <Choice
          legend="Disks of the daemon's host"
          name="disk"
          value={disk?.path ?? ""}
          set={choose}
          options={all.map((one) => [
            one.path,
            `${one.path}, ${size(one.size)}`,
            one.model || undefined,
            one.obstacle ?? undefined,
          ])}
        />
      )}
      <Input
        field={{
          key: "path",
          label: all && all.length > 0 ? "Or an image, by its path" : "Path on the daemon's host",
          isOptional: Boolean(all && all.length > 0),
          hint: "Such as /srv/images/mail.img.",
        }}
        value={path}
        change={type}
      />
      {trouble && <Trouble problem={trouble} what="disks" />}
      {disk && path !== "" && (
        <p role="status" class={disk.obstacle ? "obstacle" : "found"}>
          {disk.obstacle ? `${disk.obstacle}.` : `${size(disk.size)}; nothing stands in the way.`}
        </p>
      )}
    </>
  );
}
