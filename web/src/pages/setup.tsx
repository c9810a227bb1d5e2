// The first start: the code that the daemon printed makes the first administrator.

import { useState } from "preact/hooks";
import { ask, findWho, Problem } from "../api";
import { Input } from "../parts/form";
import { Gate } from "../parts/gate";
import { go, route } from "../router";

export function Setup() {
  const [code, setCode] = useState(route.value[0] === "setup" ? (route.value[1] ?? "") : "");
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [problem, fail] = useState<Problem | null>(null);
  const submit = async () => {
    if (password !== again) {
      fail(new Problem(0, "invalid", "the two passwords differ", "type both again"));
      return;
    }
    try {
      await ask("POST", "/setup", { code, user, password });
      go("start");
      await findWho();
    } catch (error) {
      fail(error instanceof Problem ? error : new Problem(0, "failed", String(error)));
    }
  };
  const about = (
    <>
      Nobody can sign in yet. The daemon printed a link with a code when it started; or make a user on its
      host with <code>tidemark user add NAME --role admin</code>.
    </>
  );
  return (
    <Gate
      title="The first administrator"
      about={about}
      verb="Make the user and sign in"
      submit={submit}
      problem={problem}
    >
      <Input field={{ key: "code", label: "Code" }} value={code} change={setCode} />
      <Input field={{ key: "user", label: "Name" }} value={user} change={setUser} />
      <Input
        field={{ key: "password", label: "Password", kind: "password" }}
        value={password}
        change={setPassword}
      />
      <Input
        field={{ key: "again", label: "The same again", kind: "password" }}
        value={again}
        change={setAgain}
      />
    </Gate>
  );
}
