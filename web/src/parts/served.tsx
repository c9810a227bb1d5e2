// How a volume is reached: as an NBD export, which it always is, or over iSCSI as well.

import { ask, whyNot } from "../api";
import { useLive } from "../live";
import type { Target } from "../types";
import { Input } from "./form";
import { type Act, Choice } from "./wizard";

export interface Served {
  way: "nbd" | "iscsi";
  /** The target that is there already; empty for a new one. */
  target: string;
  name: string;
  auth: "chap" | "none";
  user: string;
  secret: string;
  /** iSCSI names, a line each. */
  initiators: string;
}

export const NOT_SERVED: Served = {
  way: "nbd",
  target: "",
  name: "",
  auth: "chap",
  user: "",
  secret: "",
  initiators: "",
};

const SECRET_MIN = 12;
const names = (text: string) => text.split(/[\s,]+/).filter(Boolean);
const part = encodeURIComponent;

/** What is missing. */
export function whyNotServed(served: Served): string | undefined {
  if (served.way === "nbd") return undefined;
  if (served.target === "") {
    if (!served.name) return "The target has no name yet.";
    if (
      served.auth === "chap" &&
      (!served.user || new TextEncoder().encode(served.secret).length < SECRET_MIN)
    )
      return `CHAP needs a user and a secret of ${SECRET_MIN} bytes at least.`;
  }
  const wrong = names(served.initiators).find((one) => one !== "any" && !/^(iqn\.|eui\.|naa\.)/i.test(one));
  return wrong && `${wrong} is no iSCSI name: it begins with iqn., eui. or naa.`;
}

/** What is done for it, once there is a volume. */
export function servedActs(served: Served, volume: string): Act[] {
  if (served.way === "nbd") return [];
  const target = served.target || served.name;
  const path = `/targets/${part(target)}`;
  const acts: Act[] = [];
  if (!served.target) {
    acts.push({
      text: `Make the target ${target}`,
      command: `tidemark target create ${target}${served.auth === "chap" ? " --auth chap" : ""}`,
      run: () => ask("POST", "/targets", { name: target, auth: served.auth }),
    });
    if (served.auth === "chap")
      acts.push({
        text: `Set the secret of its CHAP user ${served.user}`,
        command: `tidemark chap set ${target} ${served.user}`,
        run: () => ask("POST", `${path}/chap`, { user: served.user, secret: served.secret }),
      });
  }
  acts.push({
    text: `Map ${volume} to it as a LUN`,
    command: `tidemark lun map ${target} ${volume}`,
    run: () => ask("POST", `${path}/luns`, { disk: volume }),
  });
  for (const initiator of names(served.initiators))
    acts.push({
      text: `Let ${initiator} in`,
      command: `tidemark initiator allow ${target} ${initiator}`,
      run: () => ask("POST", `${path}/initiators`, { initiator }),
    });
  return acts;
}

/** In words, for the check. */
export function servedText(served: Served, volume: string): string {
  if (served.way === "nbd") return `as the NBD export ${volume}`;
  const who = names(served.initiators);
  return `as the NBD export ${volume}, and over iSCSI at the target ${served.target || served.name}, which lets ${
    who.length > 0 ? who.join(", ") : "nobody"
  } in`;
}

export function ServedFields({ served, set }: { served: Served; set: (served: Served) => void }) {
  const { value: targets } = useLive<Target[]>("/targets");
  const change = (key: keyof Served) => (value: string) => set({ ...served, [key]: value });
  const noSecret = whyNot("admin");
  const auth = noSecret && served.auth === "chap" && served.way === "iscsi" ? "none" : served.auth;
  if (auth !== served.auth) set({ ...served, auth });
  return (
    <>
      <Choice
        legend="How clients reach it"
        name="way"
        value={served.way}
        set={(way) => set({ ...served, way })}
        options={[
          ["nbd", "NBD alone", "It is there as an export by its name, for qemu, nbd-client and backups."],
          ["iscsi", "iSCSI as well", "For the iSCSI initiator of a server, of Windows or of ESXi."],
        ]}
      />
      {served.way === "iscsi" && (
        <>
          <Input
            field={{
              key: "target",
              label: "Target",
              kind: "select",
              options: [
                ["", "a new one"],
                ...(targets ?? []).map((one): [string, string] => [one.name, one.name]),
              ],
            }}
            value={served.target}
            change={change("target")}
          />
          {served.target === "" && (
            <>
              <Input
                field={{ key: "name", label: "Name of the target" }}
                value={served.name}
                change={change("name")}
              />
              <Choice
                legend="How initiators show who they are"
                name="auth"
                value={served.auth}
                set={(to) => set({ ...served, auth: to })}
                options={[
                  ["chap", "CHAP", "With a user and a secret.", noSecret],
                  [
                    "none",
                    "By their iSCSI name alone",
                    "Which is no secret: only where the network is trusted.",
                  ],
                ]}
              />
              {served.auth === "chap" && (
                <>
                  <Input
                    field={{ key: "user", label: "CHAP user" }}
                    value={served.user}
                    change={change("user")}
                  />
                  <Input
                    field={{
                      key: "secret",
                      label: "Secret",
                      kind: "password",
                      hint: "12 to 255 bytes; Windows takes 12 to 16. It is never shown again.",
                    }}
                    value={served.secret}
                    change={change("secret")}
                  />
                </>
              )}
            </>
          )}
          <Input
            field={{
              key: "initiators",
              label: "Initiators to let in",
              isOptional: true,
              hint: "iSCSI names with spaces between. On Linux it is in /etc/iscsi/initiatorname.iscsi.",
            }}
            value={served.initiators}
            change={change("initiators")}
          />
        </>
      )}
    </>
  );
}
