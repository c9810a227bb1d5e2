// The first start: how this appliance is known, a first volume, how it is reached, and its protection.

import { useState } from "preact/hooks";
import { ask, whyNot } from "../api";
import { parseSize } from "../format";
import { useLive } from "../live";
import { DiskChoice, whyNotDisk } from "../parts/disks";
import { Input } from "../parts/form";
import * as rule from "../parts/rules";
import { NOT_SERVED, ServedFields, servedActs, servedText, whyNotServed } from "../parts/served";
import { type Act, Choice, Wizard } from "../parts/wizard";
import { to } from "../router";
import type { Candidate, Status } from "../types";
import { adoptAct, Checked, nameOf, whyNotName } from "./adopt";
import { createActs } from "./protect";

type Way = "new" | "adopt";

function createAct(name: string, size: string): Act {
  return {
    text: `Make the volume ${name} of ${size}`,
    command: `tidemark volume create ${name} --size ${size}`,
    run: () => ask("POST", "/volumes", { name, size: parseSize(size) }),
  };
}

function Known() {
  const { value: status } = useLive<Status>("/status");
  const doors = status?.doors.filter((door) => door.protocol === "https") ?? [];
  const fingerprint = doors.find((door) => door.fingerprint)?.fingerprint;
  return (
    <>
      <dl class="pairs">
        <dt>Where its data lies</dt>
        <dd>
          <code>{status?.state_dir}</code>
        </dd>
        <dt>This console</dt>
        <dd>
          {doors.map((door) => (
            <code key={door.address}>https://{door.address}/ </code>
          ))}
        </dd>
        <dt>Its certificate, SHA-256</dt>
        <dd>
          <code>{fingerprint ?? "not over HTTPS"}</code>
        </dd>
      </dl>
      <p class="faint">
        The daemon printed the same fingerprint where it was started, and your browser shows it beside the
        address. If the three agree, nobody stands between you and this appliance. A certificate of your own
        is named in tidemark.toml.
      </p>
    </>
  );
}

interface FirstVolume {
  way: Way;
  name: string;
  size: string;
  disk: Candidate | null;
}

function VolumeFields({ volume, set }: { volume: FirstVolume; set: (volume: FirstVolume) => void }) {
  return (
    <>
      <Choice
        legend="The first volume"
        name="first"
        value={volume.way}
        set={(way) => set({ ...volume, way })}
        options={[
          ["new", "A new one", "It is thin: it takes only the space that is written."],
          ["adopt", "A disk or image that exists", "It is adopted where it lies."],
        ]}
      />
      {volume.way === "adopt" && (
        <>
          <DiskChoice
            disk={volume.disk}
            set={(disk) =>
              set({ ...volume, disk, name: disk && !disk.obstacle ? nameOf(disk.path) : volume.name })
            }
          />
          <Checked />
        </>
      )}
      <Input
        field={{ key: "name", label: "Name of the volume", hint: "As clients will ask for it." }}
        value={volume.name}
        change={(name) => set({ ...volume, name })}
      />
      {volume.way === "new" && (
        <Input
          field={{
            key: "size",
            label: "Size",
            hint: "Such as 200G or 2T. A volume grows, and never shrinks.",
          }}
          value={volume.size}
          change={(size) => set({ ...volume, size })}
        />
      )}
    </>
  );
}

function whyNotVolume({ way, name, size, disk }: FirstVolume): string | undefined {
  if (way === "adopt" && whyNotDisk(disk)) return whyNotDisk(disk);
  if (way === "new" && parseSize(size) === null)
    return `${size || "Nothing"} is not a size; write it as 200G.`;
  return whyNotName(name);
}

export function Start() {
  const [volume, choose] = useState<FirstVolume>({ way: "new", name: "mail", size: "100G", disk: null });
  const [served, serve] = useState(NOT_SERVED);
  const [rules, set] = useState(() => rule.freshRules(["mail"]));
  const { name } = volume;
  const named = { ...rules, name, volumes: [name] };
  const first = volume.way === "new" ? createAct(name, volume.size) : adoptAct(name, volume.disk?.path ?? "");
  return (
    <Wizard
      title="First start"
      about="From nothing to a volume that is served and protected, in a few minutes."
      leave={to()}
      refused={whyNot("operator")}
      verb="Begin"
      steps={[
        { name: "This appliance", body: <Known /> },
        { name: "Volume", why: whyNotVolume(volume), body: <VolumeFields volume={volume} set={choose} /> },
        {
          name: "Reach",
          why: whyNotServed(served),
          body: <ServedFields served={served} set={serve} />,
        },
        {
          name: "Protection",
          about: "A policy takes marks by itself, so that there is always a way back.",
          why: rule.whyNotWhen(named),
          body: <rule.WhenFields rules={rules} set={set} />,
        },
      ]}
      summary={[
        [
          "Volume",
          volume.way === "new" ? `${name}, ${volume.size}, thin` : `${name}, at ${volume.disk?.path}`,
        ],
        ["Reached", servedText(served, name)],
        ["Marks", rule.whenText(named)],
        ["Keeps", rule.keptText(named)],
      ]}
      acts={[first, ...servedActs(served, name), ...createActs(named, true)]}
      after={
        <>
          <p>{name} is served and protected. Its timeline has the first mark.</p>
          <div class="actions">
            <a class="button" href={to()}>
              To the first page
            </a>
            <a class="button main" href={to("volumes", name)}>
              Look at {name}
            </a>
          </div>
        </>
      }
    />
  );
}
