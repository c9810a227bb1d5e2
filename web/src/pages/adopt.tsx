// Adopt a disk: which one, what it is called, how it is reached; then it is served where it lies.

import { useState } from "preact/hooks";
import { ask, whyNot } from "../api";
import { size } from "../format";
import { DiskChoice, whyNotDisk } from "../parts/disks";
import { Input } from "../parts/form";
import { NOT_SERVED, ServedFields, servedActs, servedText, whyNotServed } from "../parts/served";
import { type Act, Wizard } from "../parts/wizard";
import { to } from "../router";
import type { Candidate } from "../types";

export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

export function whyNotName(name: string): string | undefined {
  if (!name) return "The volume has no name yet.";
  return NAME.test(name)
    ? undefined
    : "A name has letters, digits, dots and dashes, and begins with a letter or digit.";
}

export function adoptAct(name: string, path: string): Act {
  return {
    text: `Adopt ${path} as the volume ${name}`,
    command: `tidemark volume adopt ${name} ${path}`,
    run: () => ask("POST", "/volumes", { name, adopt: path }),
  };
}

/** The last part of a path without its ending, as a name that may do. */
export function nameOf(path: string): string {
  const last = path.split("/").at(-1) ?? "";
  return last.replace(/\.[a-z0-9]+$/i, "").replace(/[^A-Za-z0-9._-]/g, "-");
}

/** What is sure, and what is looked at, when a disk is adopted. */
export function Checked() {
  return (
    <ul class="checked">
      <li>Not one byte of the disk is written until a client writes; released, it is a plain disk again.</li>
      <li>Nothing else may have it open: it is locked, and the kernel is asked whether it is mounted.</li>
      <li>While it is adopted, only Tidemark may write to it, or marks would not be true.</li>
    </ul>
  );
}

export function Adopt() {
  const [disk, choose] = useState<Candidate | null>(null);
  const [name, call] = useState("");
  const [served, serve] = useState(NOT_SERVED);
  const path = disk?.path ?? "";
  const choice = (found: Candidate | null) => {
    choose(found);
    if (found && !found.obstacle) {
      call(nameOf(found.path));
      serve({ ...served, name: nameOf(found.path) });
    }
  };
  return (
    <Wizard
      title="Adopt a disk"
      about="A disk or image that exists becomes a volume where it lies."
      leave={to("volumes")}
      refused={whyNot("operator")}
      verb="Adopt it"
      promise="Nothing is written to the disk by this."
      steps={[
        { name: "Disk", why: whyNotDisk(disk), body: <DiskChoice disk={disk} set={choice} /> },
        {
          name: "Name",
          why: whyNotName(name),
          body: (
            <>
              <Input
                field={{ key: "name", label: "Name of the volume", hint: "As clients will ask for it." }}
                value={name}
                change={call}
              />
              <Checked />
            </>
          ),
        },
        { name: "Reach", why: whyNotServed(served), body: <ServedFields served={served} set={serve} /> },
      ]}
      summary={[
        ["Disk", `${path}, ${size(disk?.size ?? 0)}`],
        ["Volume", name],
        ["Reached", servedText(served, name)],
      ]}
      acts={[adoptAct(name, path), ...servedActs(served, name)]}
      after={
        <>
          <p>
            {name} is served. There is no way back yet: let a policy take marks, or take a first one by hand.
          </p>
          <div class="actions">
            <a class="button" href={to("volumes", name)}>
              Look at {name}
            </a>
            <a class="button main" href={to("protect", name)}>
              Protect it
            </a>
          </div>
        </>
      }
    />
  );
}
