// Targets: what initiators find, who may come in, and who is connected.

import { ask, whyNot } from "../api";
import { ago, count, protocolName, size } from "../format";
import { now, useLive } from "../live";
import { Badge, Button, Commands, Empty, Head, Loading, Trouble } from "../parts/bits";
import { changeLun, changeTarget, removeChap } from "../parts/changes";
import { question } from "../parts/form";
import { Discovery, Portals } from "../parts/portals";
import type { Client, Lun, Target } from "../types";

const part = encodeURIComponent;

function newTarget(): void {
  question({
    title: "Make a target",
    about: "It lets nobody in until an initiator is allowed.",
    fields: [
      { key: "name", label: "Short name" },
      {
        key: "auth",
        label: "How initiators show who they are",
        kind: "select",
        value: "chap",
        options: [
          ["chap", "CHAP: a name and a secret"],
          ["none", "by their iSCSI name alone, which is no secret"],
        ],
      },
    ],
    verb: "Make it",
    command: ({ name, auth }) =>
      `tidemark target create ${name || "NAME"}${auth === "chap" ? " --auth chap" : ""}`,
    act: async ({ name, auth }) => {
      const made = await ask<Target>("POST", "/targets", { name, auth });
      return `Target ${name} is ${made.iqn}.`;
    },
  });
}

function mapLun(target: Target): void {
  question({
    title: `Map a disk to ${target.name}`,
    fields: [
      { key: "disk", label: "Disk", hint: "VOLUME, VOLUME@MARK or view/VIEW." },
      { key: "read_only", label: "Take no changes", kind: "check" },
      { key: "removable", label: "Look like a disk whose medium can be taken out", kind: "check" },
      {
        key: "block",
        label: "Bytes of a logical block",
        kind: "select",
        value: "512",
        options: [
          ["512", "512"],
          ["4096", "4096"],
        ],
        hint: "These two belong to the disk: all LUNs that lead to it agree on them.",
      },
    ],
    verb: "Map it",
    command: ({ disk, read_only, removable, block }) =>
      `tidemark lun map ${target.name} ${disk || "DISK"}${read_only ? " --read-only" : ""}` +
      `${removable ? " --removable" : ""}${block === "4096" ? " --block-size 4096" : ""}`,
    act: async ({ disk, read_only, removable, block }) => {
      const lun = await ask<Lun>("POST", `/targets/${part(target.name)}/luns`, {
        disk,
        is_read_only: read_only === "yes",
        is_removable: removable === "yes",
        block_size: Number(block),
      });
      return `${disk} is LUN ${lun.lun} of ${target.name}.`;
    },
  });
}

function allow(target: Target): void {
  question({
    title: `Let an initiator in at ${target.name}`,
    fields: [
      {
        key: "initiator",
        label: "Its iSCSI name",
        hint: "On Linux it is in /etc/iscsi/initiatorname.iscsi. `any` lets everyone in who passes CHAP.",
      },
    ],
    verb: "Let it in",
    command: ({ initiator }) => `tidemark initiator allow ${target.name} ${initiator || "IQN"}`,
    act: async ({ initiator }) => {
      await ask("POST", `/targets/${part(target.name)}/initiators`, { initiator });
      return `${target.name} lets ${initiator} in.`;
    },
  });
}

function deny(target: Target, initiator: string): void {
  question({
    title: `Let ${initiator} in no more`,
    losses: [`its way to ${count(target.luns.length, "LUN")} of ${target.name}; its sessions end`],
    verb: "Deny it",
    command: () => `tidemark initiator deny ${target.name} ${initiator}`,
    act: async () => {
      await ask("DELETE", `/targets/${part(target.name)}/initiators/${part(initiator)}`);
      return `${target.name} lets ${initiator} in no more.`;
    },
  });
}

function setSecret(target: Target): void {
  question({
    title: `A CHAP user of ${target.name}`,
    about: "The secret is never shown again.",
    fields: [
      { key: "user", label: "Name" },
      { key: "secret", label: "Secret", kind: "password", hint: "12 to 255 bytes; Windows takes 12 to 16." },
      { key: "mutual", label: "It is the target's own, for mutual CHAP", kind: "check" },
    ],
    verb: "Set it",
    command: ({ user, mutual }) =>
      `tidemark chap set ${target.name} ${user || "USER"}${mutual ? " --mutual" : ""}`,
    act: async ({ user, secret, mutual }) => {
      await ask("POST", `/targets/${part(target.name)}/chap`, { user, secret, is_mutual: mutual === "yes" });
      return `The secret of ${user} is set.`;
    },
  });
}

function unmap(target: Target, lun: Lun): void {
  question({
    title: `Unmap LUN ${lun.lun} of ${target.name}`,
    losses: [`the initiators' way to ${lun.disk}; the disk itself stays`],
    name: lun.disk,
    verb: "Unmap it",
    command: () => `tidemark lun unmap ${target.name} ${lun.lun}`,
    act: async () => {
      await ask("DELETE", `/targets/${part(target.name)}/luns/${lun.lun}`);
      return `${lun.disk} is no LUN of ${target.name} any more.`;
    },
  });
}

function removeTarget(target: Target): void {
  question({
    title: `Remove target ${target.name}`,
    losses: [
      `${count(target.luns.length, "LUN")}, ${count(target.initiators.length, "initiator")} and ` +
        `${count(target.chap_users.length, "CHAP user")} of ${target.name}; the disks stay`,
    ],
    name: target.name,
    verb: "Remove it",
    command: () => `tidemark target rm ${target.name}`,
    act: async () => {
      await ask("DELETE", `/targets/${part(target.name)}`);
      return `Target ${target.name} is gone.`;
    },
  });
}

export function Targets() {
  const { value: all, problem } = useLive<Target[]>("/targets");
  const { value: clients } = useLive<Client[]>("/sessions");
  return (
    <>
      <Head
        title="Targets"
        about="What iSCSI initiators log in to, who may, and who is connected through either door."
      >
        <Button act={newTarget} why={whyNot("operator")} tone="main">
          Make a target
        </Button>
      </Head>
      {problem && <Trouble problem={problem} what="targets" />}
      {!all && !problem && <Loading />}
      {all?.length === 0 && (
        <Empty title="No targets yet">
          A target is what an initiator on another machine logs in to, and finds disks under numbers. NBD
          clients need none: every volume, mark and view is an export already.
        </Empty>
      )}
      {all?.map((target) => (
        <One key={target.name} target={target} />
      ))}
      <div class="columns">
        <Portals />
        <Discovery />
      </div>
      <Clients all={clients ?? []} />
      <Commands
        lines={["tidemark target ls", "tidemark lun ls", "tidemark portal ls", "tidemark session ls"]}
      />
    </>
  );
}

function One({ target }: { target: Target }) {
  const why = whyNot("operator");
  return (
    <section class="card" aria-label={`Target ${target.name}`}>
      <div class="cardhead">
        <div>
          <h2>
            {target.name} {target.alias && <small>{target.alias}</small>}
          </h2>
          <code class="path">{target.iqn}</code>
        </div>
        <Badge tone={target.auth === "chap" ? "good" : "warn"}>
          {target.auth === "chap" ? "CHAP" : "no secret"}
        </Badge>
      </div>
      <table class="list">
        <thead>
          <tr>
            <th class="number">LUN</th>
            <th>Disk</th>
            <th class="number">Size</th>
            <th>Mode</th>
            <th>State</th>
            <th>
              <span class="hidden">What can be done</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {target.luns.map((lun) => (
            <tr key={lun.lun}>
              <td data-label="LUN" class="number">
                {lun.lun}
              </td>
              <td data-label="Disk">{lun.disk}</td>
              <td data-label="Size" class="number">
                {size(lun.size)}
              </td>
              <td data-label="Mode">{lun.is_read_only ? "read-only" : "read-write"}</td>
              <td data-label="State">
                <Badge tone={lun.is_ready ? "good" : "bad"}>
                  {lun.is_ready ? "ready" : (lun.trouble ?? "not ready")}
                </Badge>
              </td>
              <td class="deeds">
                <Button
                  act={() => changeLun(target, lun)}
                  why={why}
                  label={`Settings of LUN ${lun.lun} of ${target.name}`}
                >
                  Settings
                </Button>
                <Button
                  act={() => unmap(target, lun)}
                  why={why}
                  label={`Unmap LUN ${lun.lun} of ${target.name}`}
                >
                  Unmap
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {target.luns.length === 0 && <p class="faint">No LUN yet: an initiator that logs in finds nothing.</p>}
      <ul class="letin" aria-label="Who is let in">
        {target.initiators.map((one) => (
          <li key={one}>
            <span class="faint">lets in</span> <code>{one}</code>
            <Button act={() => deny(target, one)} why={why} tone="quiet" label={`Deny ${one}`}>
              Deny
            </Button>
          </li>
        ))}
        {target.initiators.length === 0 && <li class="faint">It lets nobody in.</li>}
        {target.chap_users.map((user) => (
          <li key={user}>
            <span class="faint">CHAP user</span> <code>{user}</code>
            <Button
              act={() => removeChap(target, user)}
              why={whyNot("admin")}
              tone="quiet"
              label={`Remove the CHAP user ${user} of ${target.name}`}
            >
              Remove
            </Button>
          </li>
        ))}
      </ul>
      <div class="actions">
        <Button act={() => mapLun(target)} why={why}>
          Map a disk
        </Button>
        <Button act={() => allow(target)} why={why}>
          Let an initiator in
        </Button>
        <Button act={() => setSecret(target)} why={whyNot("admin")}>
          Set a CHAP secret
        </Button>
        <Button act={() => changeTarget(target)} why={why} label={`Settings of target ${target.name}`}>
          Settings
        </Button>
        <Button act={() => removeTarget(target)} why={why} tone="bad">
          Remove
        </Button>
      </div>
    </section>
  );
}

function Clients({ all }: { all: Client[] }) {
  const end = (client: Client) =>
    question({
      title: `End session ${client.id}`,
      losses: [
        `the connection of ${client.peer} to ${client.export || "discovery"}; most clients come back by themselves`,
      ],
      verb: "End it",
      command: () => `tidemark session kill ${client.id}`,
      act: async () => {
        await ask("DELETE", `/sessions/${client.id}`);
        return `Session ${client.id} is ended.`;
      },
    });
  return (
    <section class="card" aria-labelledby="sessions">
      <div class="cardhead">
        <h2 id="sessions">Who is connected</h2>
        <span class="faint">{count(all.length, "session")}</span>
      </div>
      {all.length === 0 && <p class="faint">Nobody is connected.</p>}
      {all.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th>Client</th>
              <th>Has open</th>
              <th class="number">Read</th>
              <th class="number">Written</th>
              <th>Since</th>
              <th>
                <span class="hidden">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map((client) => (
              <tr key={client.id}>
                <td data-label="Client">
                  {client.peer}
                  {client.iscsi && <small class="path">{client.iscsi.initiator}</small>}
                </td>
                <td data-label="Has open">
                  <Badge>{protocolName(client.protocol)}</Badge> {client.export || "–"}
                </td>
                <td data-label="Read" class="number">
                  {size(client.read_bytes)}
                </td>
                <td data-label="Written" class="number">
                  {size(client.written_bytes)}
                </td>
                <td data-label="Since">{ago(client.since_ms, now.value)}</td>
                <td class="deeds">
                  <Button act={() => end(client)} why={whyNot("operator")} label={`End session ${client.id}`}>
                    End
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
