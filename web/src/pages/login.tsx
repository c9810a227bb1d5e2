// Signing in.

import { useState } from "preact/hooks";
import { ask, Problem, who } from "../api";
import { Input } from "../parts/form";
import { Gate } from "../parts/gate";
import type { Session } from "../types";

export function Login() {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [problem, fail] = useState<Problem | null>(null);
  const submit = async () => {
    try {
      who.value = { is: "somebody", session: await ask<Session>("POST", "/session", { user, password }) };
    } catch (error) {
      fail(error instanceof Problem ? error : new Problem(0, "failed", String(error)));
    }
  };
  return (
    <Gate title="Sign in" verb="Sign in" submit={submit} problem={problem}>
      <Input field={{ key: "user", label: "User" }} value={user} change={setUser} />
      <Input
        field={{ key: "password", label: "Password", kind: "password" }}
        value={password}
        change={setPassword}
      />
    </Gate>
  );
}
