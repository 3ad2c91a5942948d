import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Known, suggestions } from "../model/search";
import { useKeys } from "./keys";

interface SearchBoxProps {
  value: string;
  /** What completions choose from, asked for while they are open. */
  known: () => Known;
  onSearch: (text: string) => void;
  failure: string | null;
}

const WAIT_MS = 350;

/** A search box with completion: the arrow keys choose, Enter and Tab take, Escape leaves. */
export function SearchBox({ value, known, onSearch, failure }: SearchBoxProps): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const [text, setText] = useState(value);
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState(-1);
  useEffect(() => {
    if (document.activeElement !== input.current) setText(value);
  }, [value]);
  useKeys({
    "/": () => {
      input.current?.focus();
      input.current?.select();
    },
  });
  const found = isOpen ? suggestions(text, known()) : [];

  const change = (next: string, { search = true } = {}) => {
    setText(next);
    setChosen(-1);
    clearTimeout(timer.current);
    // A key without its value is no search yet.
    if (search && !/=$|(^|\s)argument\.[\w.-]*$|(^|\s)(AND|OR|NOT)\s*$|\($/.test(next)) timer.current = setTimeout(() => onSearch(next.trim()), WAIT_MS);
  };
  const take = (index: number) => {
    const suggestion = found[index];
    if (suggestion === undefined) return;
    change(suggestion.text);
    input.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && found.length > 0) {
      event.preventDefault();
      setChosen((chosen + step + found.length + (chosen < 0 && step < 0 ? 1 : 0)) % found.length);
    } else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) {
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Enter") {
      clearTimeout(timer.current);
      setOpen(false);
      onSearch(text.trim());
    } else if (event.key === "Escape") {
      setOpen(false);
      input.current?.blur();
    }
  };

  return (
    <div class="search">
      <span class={`pf-v6-c-form-control ${failure === null ? "" : "pf-m-error"}`}>
        <input
          ref={input}
          type="text"
          role="combobox"
          aria-label="Search tasks"
          aria-expanded={found.length > 0}
          aria-controls="search-list"
          aria-autocomplete="list"
          aria-activedescendant={chosen >= 0 ? `search-${chosen}` : undefined}
          aria-invalid={failure !== null}
          aria-describedby={failure === null ? undefined : "search-failure"}
          placeholder="Search: zoo, failed, name=sync, @jo …"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          value={text}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onInput={(event) => {
            setOpen(true);
            change(event.currentTarget.value);
          }}
          onKeyDown={onKeyDown}
        />
      </span>
      <kbd class="search-key" aria-hidden="true">
        /
      </kbd>
      <ul id="search-list" class="search-list" role="listbox" aria-label="Completions" hidden={found.length === 0}>
        {found.map((each, index) => (
          <li
            key={each.text}
            id={`search-${index}`}
            role="option"
            aria-selected={index === chosen}
            onMouseDown={(event) => {
              event.preventDefault(); // the box keeps the focus
              take(index);
            }}
          >
            <span>{each.label}</span>
            <span class="muted">{each.about}</span>
          </li>
        ))}
      </ul>
      {failure !== null && (
        <p id="search-failure" class="search-failure" role="alert">
          {failure}
        </p>
      )}
    </div>
  );
}
