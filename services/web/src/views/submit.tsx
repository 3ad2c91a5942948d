import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, get, request } from "../model/api";
import { argumentsOf, BadField, exactJson, type Field, fieldsOf, numberOf, type Parameter, typedOf } from "../model/form";
import { loadOperations, type Operation, operations } from "../model/operations";
import { go, query, setQuery } from "../model/route";
import { maySubmit } from "../model/session";
import { type FullTask, idOf } from "../model/tasks";
import { toast } from "../model/toasts";
import { Button, Card, Empty, Loading, Note, Problem } from "../parts/basics";

type Declared = Operation & { parameters: Parameter[] | null };

export function Submit(): JSX.Element {
  const [failure, setFailure] = useState<string | null>(null);
  const [isRead, setRead] = useState(false);
  const [origin, setOrigin] = useState<FullTask | null>(null);
  const rerun = query.value.get("rerun");
  useEffect(() => {
    const read = async () => {
      await loadOperations();
      setOrigin(rerun === null ? null : await get<FullTask>(`tasks/${rerun}/`));
      setRead(true);
    };
    read().catch((error: unknown) => setFailure(error instanceof Error ? error.message : String(error)));
  }, [rerun]);
  const name = origin?.name ?? query.value.get("operation");
  const chosen = operations.value.find((each) => each.name === name) as Declared | undefined;
  return (
    <div class="page page-narrow">
      <div class="page-head">
        <h1>{rerun === null ? "Submit a task" : "Run again, with changes"}</h1>
      </div>
      {!maySubmit.value && <Note kind="warning" title="Your role may not submit tasks: it takes a submitter or an administrator." />}
      {failure !== null && <Problem text={failure} />}
      {!isRead && failure === null && <Loading what="the operations" />}
      {isRead && operations.value.length === 0 && (
        <Empty title="No worker offers an operation yet" command="pulp-tasks worker --name w1">
          <p>What may be submitted is what live workers have declared. To start one:</p>
        </Empty>
      )}
      {isRead && maySubmit.value && operations.value.length > 0 && (
        <>
          {origin === null && (
            <div class="pf-v6-c-form__group field">
              <label class="pf-v6-c-form__label" for="operation">
                <span class="pf-v6-c-form__label-text">Operation</span>
              </label>
              <span class="pf-v6-c-form-control">
                <select id="operation" value={name ?? ""} onChange={(event) => setQuery({ operation: event.currentTarget.value })}>
                  <option value="" disabled>
                    Choose one
                  </option>
                  {operations.value.map((each) => (
                    <option key={each.name} value={each.name}>
                      {each.name}
                    </option>
                  ))}
                </select>
              </span>
            </div>
          )}
          {chosen !== undefined && <OperationForm key={chosen.name + (rerun ?? "")} operation={chosen} origin={origin} />}
          {chosen === undefined && origin !== null && <Note kind="warning" title={`No live worker offers ${origin.name} now.`} />}
        </>
      )}
    </div>
  );
}

function OperationForm({ operation, origin }: { operation: Declared; origin: FullTask | null }): JSX.Element {
  const fields = useMemo(() => (operation.arguments === null ? [] : fieldsOf(operation.arguments, operation.parameters ?? [])), [operation]);
  const [typed, setTyped] = useState<Record<string, string>>(() =>
    Object.fromEntries(Object.entries(origin?.arguments ?? {}).map(([name, value]) => [name, typedOf(value)])),
  );
  const rawBefore = useMemo(() => JSON.stringify(origin?.arguments ?? operation.example?.arguments ?? {}, null, 2), [operation, origin]);
  const [raw, setRaw] = useState(rawBefore);
  const [queue, setQueue] = useState(origin?.queue ?? "");
  const [priority, setPriority] = useState(origin === null || origin.priority === 0 ? "" : String(origin.priority));
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);

  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    try {
      const isAsBefore = origin !== null && raw === rawBefore;
      const given =
        operation.arguments !== null ? argumentsOf(fields, typed, origin?.arguments) : isAsBefore ? origin.arguments : parsed(raw);
      const more = { ...(queue === "" ? {} : { queue }), ...(priority === "" ? {} : { priority: numberOf("priority", priority) }) };
      const answer =
        origin === null
          ? await request<{ task: string; warnings?: string[] }>("POST", "tasks/", { body: { operation: operation.name, arguments: given, ...more } })
          : await request<{ task: string; warnings?: string[] }>("POST", `${origin.pulp_href}rerun/`, {
              body: { arguments: changed(origin.arguments, given), ...more },
            });
      for (const warning of answer.warnings ?? []) toast(warning, { kind: "warning" });
      toast(`${operation.name} was submitted.`, { kind: "success" });
      go(`/tasks/${idOf(answer.task)}`);
    } catch (error) {
      setFailure(error instanceof ApiError || error instanceof BadField || error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };

  return (
    <Card title={operation.name}>
      <form class="form" onSubmit={(event) => void submit(event)}>
        {operation.description !== "" && <p>{operation.description}</p>}
        <p class="muted">
          {operation.cancellable ? "It can be canceled while it runs." : "It cannot be canceled while it runs."}
          {operation.resources.length > 0 && ` It takes ${operation.resources.map((each) => `${each.type}:${each.id}`).join(", ")}.`}
          {operation.requires !== null && ` It needs a ${operation.requires} of the same repository before it.`}
        </p>
        {failure !== null && <Problem text={failure} />}
        {operation.arguments === null ? (
          <div class="pf-v6-c-form__group">
            <label class="pf-v6-c-form__label" for="raw">
              <span class="pf-v6-c-form__label-text">Arguments (JSON)</span>
            </label>
            <span class="pf-v6-c-form-control pf-m-resize-both">
              <textarea id="raw" class="mono" rows={6} value={raw} onInput={(event) => setRaw(event.currentTarget.value)} />
            </span>
            <p class="hint">The operation declares none, so anything is taken.</p>
          </div>
        ) : (
          fields.map((field) => (
            <Input key={field.name} field={field} value={typed[field.name] ?? ""} onInput={(text) => setTyped({ ...typed, [field.name]: text })} />
          ))
        )}
        <details>
          <summary>Queue and priority</summary>
          <div class="form more-fields">
            <Input
              field={{ name: "queue", kind: "text", choices: [], required: false, hint: "", placeholder: "default" }}
              value={queue}
              onInput={setQueue}
            />
            <Input
              field={{ name: "priority", kind: "number", choices: [], required: false, hint: "From -1000 to 1000; the higher, the earlier.", placeholder: "0" }}
              value={priority}
              onInput={setPriority}
            />
          </div>
        </details>
        <div class="head-buttons">
          <Button kind="primary" type="submit" busy={isBusy}>
            {origin === null ? "Submit" : "Run again"}
          </Button>
        </div>
      </form>
    </Card>
  );
}

function Input({ field, value, onInput }: { field: Field; value: string; onInput: (text: string) => void }): JSX.Element {
  const id = `field-${field.name}`;
  const choices = field.kind === "flag" ? ["true", "false"] : field.kind === "choice" ? field.choices : null;
  return (
    <div class="pf-v6-c-form__group">
      <label class="pf-v6-c-form__label" for={id}>
        <span class="pf-v6-c-form__label-text">{field.name}</span>
        {field.required && (
          <span class="pf-v6-c-form__label-required" aria-hidden="true">
            {" "}
            *
          </span>
        )}
      </label>
      <span class="pf-v6-c-form-control">
        {choices !== null ? (
          <select id={id} value={value} required={field.required} aria-describedby={`${id}-hint`} onChange={(event) => onInput(event.currentTarget.value)}>
            <option value="">{field.placeholder === "" ? "left out" : `left out: ${field.placeholder}`}</option>
            {choices.map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        ) : (
          <input
            id={id}
            inputMode={field.kind === "number" ? "numeric" : "text"}
            autocomplete="off"
            spellcheck={false}
            required={field.required}
            placeholder={field.placeholder}
            aria-describedby={`${id}-hint`}
            value={value}
            onInput={(event) => onInput(event.currentTarget.value)}
          />
        )}
      </span>
      <p class="hint" id={`${id}-hint`}>
        {field.hint}
      </p>
    </div>
  );
}

function parsed(text: string): Record<string, unknown> {
  try {
    return exactJson("arguments", text.trim() === "" ? "{}" : text) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof BadField) throw error;
    throw new BadField("arguments", `The arguments are not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What a rerun has to name: the arguments that differ, and null for those that are gone. */
function changed(before: Record<string, unknown>, after: Record<string, unknown>): Record<string, unknown> {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const differs = [...names].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  return Object.fromEntries(differs.map((name) => [name, after[name] ?? null]));
}
