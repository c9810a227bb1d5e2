// Users: who may sign in, and what each may do.

import { ask, whyNot } from "../api";
import { useLive } from "../live";
import { Badge, Button, Commands, Empty, Head, Loading, Trouble } from "../parts/bits";
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
    ],
    verb: "Save",
    command: ({ role, password }) =>
      `tidemark user set ${user.name} --role ${role}${password ? `\ntidemark user passwd ${user.name}` : ""}`,
    act: async ({ role, password }) => {
      await ask("PATCH", `/users/${part(user.name)}`, { role, ...(password ? { password } : {}) });
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
      <Commands lines={["tidemark user ls"]} />
    </>
  );
}
