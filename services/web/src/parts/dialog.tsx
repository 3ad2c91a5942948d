import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  actions?: ComponentChildren;
  onSubmit?: () => void;
  wide?: boolean;
}

/** A dialog of the browser: it keeps the focus, and Escape closes it. */
export function Dialog({ title, onClose, children, actions, onSubmit, wide }: DialogProps): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  // Before anything is painted: a key that is pressed right after must not go to what is behind.
  useLayoutEffect(() => {
    const dialog = element.current;
    const before = document.activeElement as HTMLElement | null;
    dialog?.showModal();
    return () => {
      dialog?.close();
      before?.focus?.();
    };
  }, []);
  const content = (
    <>
      <header class="pf-v6-c-modal-box__header">
        <h1 class="pf-v6-c-modal-box__title" id="dialog-title">
          {title}
        </h1>
        <button type="button" class="pf-v6-c-button pf-m-plain dialog-close" aria-label="Close" onClick={onClose}>
          <svg class="icon" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
            <path d="M3 3l10 10M13 3 3 13" stroke="currentColor" stroke-width="2" stroke-linecap="round" />
          </svg>
        </button>
      </header>
      <div class="pf-v6-c-modal-box__body" tabIndex={-1}>
        {children}
      </div>
      {actions && <footer class="pf-v6-c-modal-box__footer">{actions}</footer>}
    </>
  );
  return (
    <dialog
      ref={element}
      class={`dialog ${wide ? "dialog-wide" : ""}`}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === element.current) onClose();
      }}
    >
      {onSubmit === undefined ? (
        <div class="dialog-inner">{content}</div>
      ) : (
        <form
          class="dialog-inner"
          onSubmit={(event) => {
            event.preventDefault();
            onSubmit();
          }}
        >
          {content}
        </form>
      )}
    </dialog>
  );
}
