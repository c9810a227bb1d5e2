// All volumes.

import { useState } from "preact/hooks";
import { whyNot } from "../api";
import { count, size } from "../format";
import { useLive } from "../live";
import { Button, Commands, Empty, Head, Loading, Meter, StateBadge, Trouble } from "../parts/bits";
import { newVolume } from "../parts/deeds";
import { Groups } from "../parts/groups";
import { go, to } from "../router";
import type { Volume } from "../types";

export function Volumes() {
  const { value: all, problem } = useLive<Volume[]>("/volumes");
  const [word, find] = useState("");
  const why = whyNot("operator");
  const shown = all?.filter((volume) => volume.name.includes(word.trim()));
  return (
    <>
      <Head title="Volumes" about="Live virtual disks. Each has a past of up to 256 marks.">
        <Button act={() => go("adopt")} why={why}>
          Adopt a disk
        </Button>
        <Button act={newVolume} why={why} tone="main">
          Make a volume
        </Button>
      </Head>
      {problem && <Trouble problem={problem} what="volumes" />}
      {!all && !problem && <Loading />}
      {all?.length === 0 && (
        <Empty title="No volumes yet">
          A volume is a disk that clients reach over iSCSI or NBD. Make a new one, or adopt a disk that
          exists: not one byte of it changes until somebody writes.
        </Empty>
      )}
      {all && all.length > 10 && (
        <label class="search">
          <span>Find</span>
          <input
            type="search"
            value={word}
            onInput={(e) => find(e.currentTarget.value)}
            placeholder="part of a name"
          />
        </label>
      )}
      {shown && shown.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th>Name</th>
              <th class="number">Size</th>
              <th>Used</th>
              <th class="number">Preserved</th>
              <th class="number">Marks</th>
              <th>State</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((volume) => (
              <tr key={volume.name}>
                <td data-label="Name">
                  <a href={to("volumes", volume.name)}>{volume.name}</a>
                  {volume.kind === "adopted" && <small class="path">{volume.path}</small>}
                </td>
                <td data-label="Size" class="number">
                  {size(volume.size)}
                </td>
                <td data-label="Used">
                  <span class="withmeter">
                    <Meter part={volume.allocated_bytes} whole={volume.size} label={`${volume.name} used`} />
                    {size(volume.allocated_bytes)}
                  </span>
                </td>
                <td data-label="Preserved" class="number">
                  {size(volume.preserved_bytes)}
                </td>
                <td data-label="Marks" class="number">
                  {volume.marks}
                </td>
                <td data-label="State">
                  <StateBadge state={volume.state} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {all && all.length > 0 && shown?.length === 0 && (
        <p class="faint">None of {count(all.length, "volume")} is called so.</p>
      )}
      {all && all.length > 1 && <Groups />}
      <Commands lines={["tidemark volume ls", "tidemark group ls"]} />
    </>
  );
}
