// All views, and what is attached to the daemon's host.

import { ask, whyNot } from "../api";
import { ago, moment, percent, size } from "../format";
import { now, useLive } from "../live";
import { Button, Commands, Empty, Head, Loading, StateBadge, Trouble } from "../parts/bits";
import { attach, promote, removeView } from "../parts/deeds";
import { question } from "../parts/form";
import { to } from "../router";
import type { Attachment, View } from "../types";

export function Views() {
  const { value: all, problem } = useLive<View[]>("/views");
  const { value: attached } = useLive<Attachment[]>("/attachments");
  const why = whyNot("operator");
  return (
    <>
      <Head title="Views" about="Read-write disks made from marks. What is written to one stays in it." />
      {problem && <Trouble problem={problem} what="views" />}
      {!all && !problem && <Loading />}
      {all?.length === 0 && (
        <Empty title="No views" action={<a href={to("volumes")}>Choose a volume</a>}>
          Open one from a mark on a volume's timeline: it is there at once, while the volume goes on, and lost
          mail is copied back out of it.
        </Empty>
      )}
      {all && all.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th>Name</th>
              <th>Shows</th>
              <th class="number">Own writes</th>
              <th>Made</th>
              <th>State</th>
              <th>
                <span class="hidden">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map((view) => (
              <tr key={view.name}>
                <td data-label="Name">
                  <strong>{view.name}</strong>
                  <small class="path">NBD export view/{view.name}</small>
                </td>
                <td data-label="Shows">
                  <a href={to("volumes", view.of.split("@")[0] ?? "")}>{view.of}</a>
                </td>
                <td data-label="Own writes" class="number">
                  {size(view.allocated_bytes)}
                </td>
                <td data-label="Made" title={moment(view.created_ms)}>
                  {ago(view.created_ms, now.value)}
                </td>
                <td data-label="State">
                  {view.promotion ? (
                    `promoting, ${percent(view.promotion.done_blocks, view.promotion.total_blocks)}`
                  ) : (
                    <StateBadge state={view.state} />
                  )}
                </td>
                <td class="deeds">
                  <Button
                    act={() => attach(`view/${view.name}`)}
                    why={why}
                    label={`Attach view ${view.name}`}
                  >
                    Attach
                  </Button>
                  <Button act={() => promote(view)} why={why} label={`Promote view ${view.name}`}>
                    Promote
                  </Button>
                  <Button act={() => removeView(view)} why={why} tone="bad" label={`Drop view ${view.name}`}>
                    Drop
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {attached && attached.length > 0 && <Attached all={attached} />}
      <Commands lines={["tidemark view ls", "tidemark attach view/NAME --mount DIR"]} />
    </>
  );
}

function Attached({ all }: { all: Attachment[] }) {
  const detach = (of: string) =>
    question({
      title: `Detach ${of}`,
      about: "Its file system is unmounted, and its block device goes.",
      verb: "Detach it",
      command: () => `tidemark detach ${of}`,
      act: async () => {
        await ask("DELETE", `/attachments/${encodeURIComponent(of)}`);
        return `${of} is detached.`;
      },
    });
  return (
    <section class="card" aria-labelledby="attached">
      <div class="cardhead">
        <h2 id="attached">Attached to the daemon's host</h2>
      </div>
      <table class="list">
        <thead>
          <tr>
            <th>Disk</th>
            <th>Device</th>
            <th>Mounted at</th>
            <th>
              <span class="hidden">What can be done</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {all.map((one) => (
            <tr key={one.of}>
              <td data-label="Disk">{one.of}</td>
              <td data-label="Device">
                <code>{one.device}</code>
              </td>
              <td data-label="Mounted at">{one.mounted_at ?? "–"}</td>
              <td class="deeds">
                <Button act={() => detach(one.of)} why={whyNot("operator")} label={`Detach ${one.of}`}>
                  Detach
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
