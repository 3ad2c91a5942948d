import type { JSX } from "preact";
import { useState } from "preact/hooks";
import * as session from "../model/session";
import { Button, Note, Problem } from "../parts/basics";

export function Login(): JSX.Element {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);

  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    try {
      await session.logIn(name, password);
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };

  return (
    <main class="login" id="main">
      <form class="login-box pf-v6-c-form" onSubmit={(event) => void submit(event)}>
        <div class="login-head">
          <svg viewBox="0 0 32 32" width="40" height="40" aria-hidden="true">
            <rect width="32" height="32" rx="7" class="brand-box" />
            <path d="M8 9h16M8 16h11M8 23h6" class="brand-lines" />
            <circle cx="23" cy="22" r="4.4" class="brand-dot" />
          </svg>
          <h1>Pulp Tasks</h1>
        </div>
        {session.problem.value !== null && <Note title={session.problem.value} />}
        {failure !== null && <Problem text={failure} />}
        <div class="pf-v6-c-form__group">
          <label class="pf-v6-c-form__label" for="name">
            <span class="pf-v6-c-form__label-text">User name</span>
          </label>
          <span class="pf-v6-c-form-control">
            <input
              id="name"
              name="username"
              autocomplete="username"
              autocapitalize="none"
              spellcheck={false}
              required
              autofocus
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </span>
        </div>
        <div class="pf-v6-c-form__group">
          <label class="pf-v6-c-form__label" for="password">
            <span class="pf-v6-c-form__label-text">Password</span>
          </label>
          <span class="pf-v6-c-form-control">
            <input
              id="password"
              name="password"
              type="password"
              autocomplete="current-password"
              required
              value={password}
              onInput={(event) => setPassword(event.currentTarget.value)}
            />
          </span>
        </div>
        <Button kind="primary" type="submit" busy={isBusy}>
          Log in
        </Button>
        <p class="hint">
          On the server, <code>pulp-tasks users list</code> names the users; the first administrator's password is in{" "}
          <code>~/.pulp/admin.toml</code>.
        </p>
      </form>
    </main>
  );
}
