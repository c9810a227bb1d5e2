// Changes of a target and of a LUN that are there, while they are in use.

import { ask } from "../api";
import type { Lun, Target } from "../types";
import { question } from "./form";

const part = encodeURIComponent;
const list = (text: string) => text.split(/[\s,]+/).filter(Boolean);
const onOff = (value: string | undefined) => (value === "yes" ? "on" : "off");

export function changeTarget(target: Target): void {
  const now = { alias: target.alias, auth: target.auth, md5: target.is_md5_allowed ? "yes" : "" };
  const options = (to: Record<string, string>) =>
    [
      to.alias !== now.alias ? ` --alias '${to.alias}'` : "",
      to.auth !== now.auth ? ` --auth ${to.auth}` : "",
      to.md5 !== now.md5 ? ` --chap-md5 ${onOff(to.md5)}` : "",
    ].join("");
  question({
    title: `Settings of target ${target.name}`,
    about: "Sessions that go on keep what they agreed on; the next login is judged anew.",
    fields: [
      { key: "alias", label: "What people call it", value: now.alias, isOptional: true },
      {
        key: "auth",
        label: "How initiators show who they are",
        kind: "select",
        value: now.auth,
        options: [
          ["chap", "CHAP: a name and a secret"],
          ["none", "by their iSCSI name alone, which is no secret"],
        ],
      },
      {
        key: "md5",
        label: "CHAP with MD5 will do",
        kind: "check",
        value: now.md5,
        hint: "For Windows, ESXi and old versions of open-iscsi, which know no other.",
      },
    ],
    verb: "Save",
    command: (to) =>
      options(to)
        ? `tidemark target set ${target.name}${options(to)}`
        : `tidemark target show ${target.name}`,
    act: async ({ alias = "", auth, md5 }) => {
      await ask("PATCH", `/targets/${part(target.name)}`, { alias, auth, is_md5_allowed: md5 === "yes" });
      return `Target ${target.name} is changed.`;
    },
  });
}

export function changeLun(target: Target, lun: Lun): void {
  const isMark = lun.disk.includes("@");
  const only = lun.only.join(" ");
  question({
    title: `Settings of LUN ${lun.lun} of ${target.name}`,
    about: `${lun.disk}, in blocks of ${lun.block_size} bytes${lun.is_removable ? ", removable" : ""}. Initiators see the change at once.`,
    fields: [
      {
        key: "read_only",
        label: "Take no changes",
        kind: "check",
        value: lun.is_read_only ? "yes" : "",
        ...(isMark ? { hint: "A mark never takes any." } : {}),
      },
      {
        key: "only",
        label: "Show it only to",
        value: only,
        isOptional: true,
        hint: "iSCSI names, or chap:USER, with spaces between. Left out, everyone who is let in sees it.",
      },
    ],
    verb: "Save",
    command: (to) => {
      const readOnly =
        (to.read_only === "yes") === lun.is_read_only ? "" : ` --read-only ${onOff(to.read_only)}`;
      const who = list(to.only ?? "").map((one) => ` --only ${one}`);
      const shown = (to.only ?? "") === only ? "" : who.length > 0 ? who.join("") : " --everyone";
      return readOnly || shown
        ? `tidemark lun set ${target.name} ${lun.lun}${readOnly}${shown}`
        : `tidemark lun ls ${target.name}`;
    },
    act: async ({ read_only, only: shown = "" }) => {
      const change = {
        ...((read_only === "yes") === lun.is_read_only ? {} : { is_read_only: read_only === "yes" }),
        ...(shown === only ? {} : { only: list(shown) }),
      };
      await ask("PATCH", `/targets/${part(target.name)}/luns/${lun.lun}`, change);
      return `LUN ${lun.lun} of ${target.name} is changed.`;
    },
  });
}

export function removeChap(target: Target, user: string): void {
  question({
    title: `Remove the CHAP user ${user} of ${target.name}`,
    losses: [`logins of ${user} at ${target.name}; its sessions end`],
    verb: "Remove it",
    command: () => `tidemark chap rm ${target.name} ${user}`,
    act: async () => {
      await ask("DELETE", `/targets/${part(target.name)}/chap/${part(user)}`);
      return `${user} is gone.`;
    },
  });
}
