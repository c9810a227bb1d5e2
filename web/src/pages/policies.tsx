// Policies: when marks are taken by themselves, and which of them stay.

import { ask, whyNot } from "../api";
import { ahead, cronText, moment, size } from "../format";
import { now, useLive } from "../live";
import { Badge, Button, Commands, Empty, Head, Loading, Trouble } from "../parts/bits";
import { question } from "../parts/form";
import { go, to } from "../router";
import type { Policy } from "../types";

const part = encodeURIComponent;

export function kept(policy: Policy): string {
  const classes = Object.entries(policy.keep ?? {}).filter(([, number]) => number > 0);
  return classes.map(([name, number]) => `${number} ${name}`).join(", ") || "–";
}

/** Whether it takes no marks now. */
export function pauses(policy: Policy, at: number): boolean {
  return policy.is_paused || (policy.paused_until_ms ?? 0) > at;
}

/** When it runs, in words. */
export function times(policy: Policy): string {
  const when = policy.every ? `every ${policy.every}` : policy.cron ? cronText(policy.cron) : "";
  const changed = policy.changed ? `as soon as ${size(policy.changed)} changed` : "";
  const passed = policy.passed ? `when ${policy.passed} passed` : "";
  return [when, changed, passed].filter(Boolean).join(" or ") || "when asked to";
}

function remove(policy: Policy): void {
  question({
    title: `Remove policy ${policy.name}`,
    losses: ["the schedule; the marks that it took stay, and nothing thins them any more"],
    name: policy.name,
    verb: "Remove it",
    command: () => `tidemark policy rm ${policy.name}`,
    act: async () => {
      await ask("DELETE", `/policies/${part(policy.name)}`);
      return `Policy ${policy.name} is gone.`;
    },
  });
}

export function Policies() {
  const { value: all, problem } = useLive<Policy[]>("/policies");
  return (
    <>
      <Head title="Policies" about="When marks are taken by themselves, and which of them stay.">
        {all && (
          <Button act={() => go("protect")} why={whyNot("operator")} tone="main">
            Protect volumes
          </Button>
        )}
      </Head>
      {problem && <Trouble problem={problem} what="policies" />}
      {!all && !problem && <Loading />}
      {all?.length === 0 && (
        <Empty title="No policies yet">
          A policy takes marks of volumes by itself and thins the old ones, so that there is always a way
          back.
        </Empty>
      )}
      {all && all.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th>Name</th>
              <th>Protects</th>
              <th>When</th>
              <th>Keeps</th>
              <th>Next</th>
              <th>
                <span class="hidden">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map((policy) => (
              <tr key={policy.name}>
                <td data-label="Name">
                  <a href={to("policies", policy.name)}>{policy.name}</a>
                </td>
                <td data-label="Protects">
                  {policy.group ? `group ${policy.group}` : policy.volumes?.join(", ")}
                </td>
                <td data-label="When">
                  {times(policy)} <small class="path">{policy.zone}</small>
                </td>
                <td data-label="Keeps">
                  {kept(policy)}
                  {policy.lock && <small> each locked for {policy.lock}</small>}
                </td>
                <td data-label="Next">
                  {pauses(policy, now.value) ? (
                    <Badge tone="warn">
                      {policy.paused_until_ms ? `paused until ${moment(policy.paused_until_ms)}` : "paused"}
                    </Badge>
                  ) : policy.next_ms ? (
                    <>
                      {ahead(policy.next_ms, now.value)}
                      <small class="path">{moment(policy.next_ms)}</small>
                    </>
                  ) : (
                    "–"
                  )}
                </td>
                <td class="deeds">
                  <Button
                    act={() => remove(policy)}
                    why={whyNot("operator")}
                    tone="bad"
                    label={`Remove ${policy.name}`}
                  >
                    Remove
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Commands lines={["tidemark policy ls"]} />
    </>
  );
}
