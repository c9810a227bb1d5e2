// Protect volumes or a group: which, when, and which marks stay, with what there will be at a date. The same steps
// change a policy that is there.

import { useState } from "preact/hooks";
import { ask, whyNot } from "../api";
import { useLive } from "../live";
import { Head, Loading, Trouble } from "../parts/bits";
import { Input } from "../parts/form";
import * as rule from "../parts/rules";
import { type Act, type Step, Wizard } from "../parts/wizard";
import { to } from "../router";
import type { Policy } from "../types";

const part = encodeURIComponent;

export function createActs(rules: rule.Rules, takesFirst: boolean): Act[] {
  const acts: Act[] = [
    {
      text: `Make the policy ${rules.name}`,
      command: rule.createCommand(rules),
      run: () => ask("POST", "/policies", rule.asked(rules)),
    },
  ];
  if (takesFirst)
    acts.push({
      text: "Take its first mark now",
      command: `tidemark policy run ${rules.name}`,
      run: () => ask("POST", `/policies/${part(rules.name)}/run`),
    });
  return acts;
}

function steps(rules: rule.Rules, set: (rules: rule.Rules) => void): Step[] {
  return [
    { name: "What", why: rule.whyNotWhat(rules), body: <rule.WhatFields rules={rules} set={set} /> },
    { name: "When", why: rule.whyNotWhen(rules), body: <rule.WhenFields rules={rules} set={set} /> },
    {
      name: "What stays",
      about:
        "The first mark of an hour, a day, a week, a month or a year stands for it; of each kind the newest stay.",
      why: rule.whyNotKeep(rules),
      body: <rule.KeepFields rules={rules} set={set} />,
    },
  ];
}

function summary(rules: rule.Rules): [string, string][] {
  return [
    ["Protects", rules.group ? `group ${rules.group}` : rules.volumes.join(", ")],
    ["Takes marks", rule.whenText(rules)],
    ["Keeps", rule.keptText(rules)],
  ];
}

export function Protect({ volume }: { volume?: string | undefined }) {
  const [rules, set] = useState(() => rule.freshRules(volume ? [volume] : []));
  const [takesFirst, take] = useState(true);
  const naming: Step = {
    name: "Name",
    why: /^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/.test(rules.name)
      ? undefined
      : "The policy has no name yet, of 40 letters, digits, dots and dashes at most.",
    body: (
      <>
        <Input
          field={{ key: "name", label: "Name of the policy", hint: "The names of its marks begin with it." }}
          value={rules.name}
          change={(name) => set({ ...rules, name })}
        />
        <Input
          field={{ key: "first", label: "Take the first mark now", kind: "check" }}
          value={takesFirst ? "yes" : ""}
          change={(value) => take(value === "yes")}
        />
      </>
    ),
  };
  return (
    <Wizard
      title={volume ? `Protect ${volume}` : "Protect volumes"}
      about="Marks are taken by themselves, and the old ones thinned. Held marks and those made by hand are never touched."
      leave={volume ? to("volumes", volume) : to("policies")}
      refused={whyNot("operator")}
      verb="Protect"
      steps={[...steps(rules, set), naming]}
      summary={[...summary(rules), ["First mark", takesFirst ? "now" : "when it is time"]]}
      acts={createActs(rules, takesFirst)}
      after={
        <>
          <p>Policy {rules.name} is at work.</p>
          <div class="actions">
            <a class="button main" href={to("policies", rules.name)}>
              Look at it
            </a>
          </div>
        </>
      }
    />
  );
}

export function ChangePolicy({ name }: { name: string }) {
  const { value: policy, problem } = useLive<Policy>(`/policies/${part(name)}`, 60_000);
  if (problem && !policy) {
    return (
      <>
        <Head title={name} />
        <Trouble problem={problem} what="policies" />
      </>
    );
  }
  return policy ? <Change was={policy} /> : <Loading />;
}

function Change({ was }: { was: Policy }) {
  const [rules, set] = useState(() => rule.rulesOf(was));
  return (
    <Wizard
      title={`Change policy ${was.name}`}
      about="It runs as it is then from the moment of the change; its marks stay its own."
      leave={to("policies", was.name)}
      refused={whyNot("operator")}
      verb="Change it"
      steps={steps(rules, set)}
      summary={summary(rules)}
      acts={[
        {
          text: `Change the policy ${was.name}`,
          command: rule.changeCommand(rules),
          run: () => ask("PATCH", `/policies/${part(was.name)}`, rule.changeOf(rules)),
        },
      ]}
      after={
        <div class="actions">
          <a class="button main" href={to("policies", was.name)}>
            Look at it
          </a>
        </div>
      }
    />
  );
}
