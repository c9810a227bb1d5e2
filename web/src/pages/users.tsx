// Users: who may sign in, and what each may do.

import { ask, whyNot } from "../api";
import { moment } from "../format";
import { useLive } from "../live";
import { Badge, Button, Commands, Empty, Head, Loading, Trouble, tell } from "../parts/bits";
import { question } from "../parts/form";
import type { User } from "../types";

const part = encodeURIComponent;
const ROLES: [string, string][] = [
  ["viewer", "viewer: looks"],
  ["helpdesk", "helpdesk: also opens views"],
  ["operator", "operator: also makes, rolls back and removes"],
  ["admin", "admin: everything, also users and secrets"],
];

function add(): void {
  question({
    title: "Add a user",
    fields: [
      { key: "name", label: "Name" },
      { key: "role", label: "Role", kind: "select", value: "viewer", options: ROLES },
      { key: "password", label: "Password", kind: "password" },
    ],
    verb: "Add the user",
    command: ({ name, role }) => `tidemark user add ${name || "NAME"} --role ${role}`,
    act: async (values) => {
      await ask("POST", "/users", values);
      return `${values.name} may sign in.`;
    },
  });
}

function change(user: User): void {
  question({
    title: `Change ${user.name}`,
    fields: [
      { key: "role", label: "Role", kind: "select", value: user.role, options: ROLES },
      { key: "password", label: "New password", kind: "password", isOptional: true },
      { key: "locked", label: "Keep them out", kind: "check", value: user.is_locked ? "yes" : "" },
    ],
    verb: "Save",
    command: ({ role, password, locked }) =>
      `tidemark user set ${user.name} --role ${role}${password ? " --password" : ""}${locked ? " --lock" : " --unlock"}`,
    act: async ({ role, password, locked }) => {
      const change = { role, is_locked: locked === "yes", ...(password ? { password } : {}) };
      await ask("PATCH", `/users/${part(user.name)}`, change);
      return `${user.name} is changed.`;
    },
  });
}

function remove(user: User): void {
  question({
    title: `Remove ${user.name}`,
    losses: [`the way in of ${user.name}; what the audit log says stays`],
    name: user.name,
    verb: "Remove",
    command: () => `tidemark user rm ${user.name}`,
    act: async () => {
      await ask("DELETE", `/users/${part(user.name)}`);
      return `${user.name} is gone.`;
    },
  });
}

export function Users() {
  const { value: all, problem } = useLive<User[]>("/users");
  const why = whyNot("admin");
  return (
    <>
      <Head
        title="Users"
        about="Who may sign in. Whoever may open the daemon's socket on its host is its owner anyway."
      >
        {all && (
          <Button act={add} why={why} tone="main">
            Add a user
          </Button>
        )}
      </Head>
      {problem && <Trouble problem={problem} what="users" />}
      {!all && !problem && <Loading />}
      {all?.length === 0 && <Empty title="No users yet">Add one to let somebody sign in over HTTPS.</Empty>}
      {all && all.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th>Name</th>
              <th>Role</th>
              <th>State</th>
              <th>
                <span class="hidden">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map((user) => (
              <tr key={user.name}>
                <td data-label="Name">{user.name}</td>
                <td data-label="Role">{user.role}</td>
                <td data-label="State">
                  <Badge tone={user.is_locked ? "bad" : "good"}>
                    {user.is_locked ? "locked" : "may sign in"}
                  </Badge>
                </td>
                <td class="deeds">
                  <Button act={() => change(user)} why={why} label={`Change ${user.name}`}>
                    Change
                  </Button>
                  <Button act={() => remove(user)} why={why} tone="bad" label={`Remove ${user.name}`}>
                    Remove
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Tokens />
      <Commands lines={["tidemark user ls", "tidemark token ls"]} />
    </>
  );
}

interface Token {
  id: number;
  label: string;
  user: string;
  role: string;
  expires_ms: number;
  used_ms?: number | null;
}

function addToken(): void {
  question({
    title: "Make a token",
    about: "A program shows it in place of a user and a password. It is told once, and never again.",
    fields: [
      { key: "label", label: "What it is for" },
      { key: "role", label: "Role", kind: "select", value: "viewer", options: ROLES },
      { key: "days", label: "Good for so many days", value: "365" },
    ],
    verb: "Make the token",
    command: ({ label, role, days }) =>
      `tidemark token create '${label || "LABEL"}' --role ${role} --days ${days}`,
    act: async ({ label, role, days }) => {
      const made = await ask<{ token: string }>("POST", "/tokens", { label, role, days: Number(days) });
      tell(`Copy the token now: ${made.token}`, false, true);
      return undefined;
    },
  });
}

function removeToken(token: Token): void {
  question({
    title: `Remove token ${token.id}`,
    losses: [`the way in of whatever uses ${token.label}`],
    verb: "Remove it",
    command: () => `tidemark token rm ${token.id}`,
    act: async () => {
      await ask("DELETE", `/tokens/${token.id}`);
      return `Token ${token.id} opens nothing any more.`;
    },
  });
}

function Tokens() {
  const { value: all } = useLive<Token[]>("/tokens");
  if (!all) return null;
  return (
    <section class="card" aria-labelledby="tokens">
      <div class="cardhead">
        <h2 id="tokens">Tokens of programs</h2>
        <Button act={addToken} why={whyNot("admin")}>
          Make a token
        </Button>
      </div>
      {all.length === 0 && <p class="faint">No program has a token.</p>}
      <ul class="letin">
        {all.map((token) => (
          <li key={token.id}>
            <strong>{token.label}</strong> <Badge>{token.role}</Badge>
            <span class="faint">
              of {token.user}, until {moment(token.expires_ms)}
              {token.used_ms ? `, last used ${moment(token.used_ms)}` : ", not used yet"}
            </span>
            <Button
              act={() => removeToken(token)}
              why={whyNot("admin")}
              tone="quiet"
              label={`Remove token ${token.id}`}
            >
              Remove
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
