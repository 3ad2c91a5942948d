import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AtRule, Plugin, Rule } from "postcss";

/** Looks of PatternFly that the page does not have. */
const OTHER_LOOKS = /glass|felt|high-contrast|redhat|dir-rtl|\[dir=rtl\]/;
/** Classes that the sources put together from parts: `pf-m-${kind}`. */
const COMPOSED = /^pf-m-(primary|secondary|danger|link|plain|info|success|warning|blue|green|orange|purple|red)$/;

/**
 * Keeps of PatternFly what the sources use: rules whose classes they name, and custom properties that some rule reads.
 * Its variables and components are ten times as large as the rest of the page.
 */
export function usedCss(folder: string): Plugin {
  const sources = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
    .join("\n");
  const words = new Set(sources.match(/[\w-]+/g));
  const isUsed = (selector: string): boolean =>
    !OTHER_LOOKS.test(selector) &&
    (selector.replace(/:not\([^()]*\)/g, "").match(/\.pf-[\w-]+/g) ?? []).every((name) => words.has(name.slice(1)) || COMPOSED.test(name.slice(1)));

  return {
    postcssPlugin: "used-css",
    OnceExit(root) {
      root.walkRules((rule) => {
        if (isInKeyframes(rule)) return;
        const kept = rule.selectors.map(keptArguments).filter((each) => each !== "");
        if (kept.length === 0) rule.remove();
        else rule.selectors = kept;
      });
      while (removeUnread(root) > 0);
      root.walkRules((rule) => {
        if (rule.nodes.length === 0) rule.remove();
      });
      root.walkAtRules((rule) => {
        if (rule.nodes?.length === 0) rule.remove();
      });
    },
  };

  /** The selector without the alternatives of `:is()` and `:where()` that are not used; "" if nothing is left. */
  function keptArguments(selector: string): string {
    let isEmpty = false;
    const kept = selector.replace(/:(is|where)\(([^()]*)\)/g, (_, name: string, list: string) => {
      const parts = list.split(",").map((each) => each.trim());
      const used = parts.filter(isUsed);
      isEmpty ||= used.length === 0;
      return `:${name}(${used.join(", ")})`;
    });
    return isEmpty || !isUsed(kept) ? "" : kept;
  }
}

function isInKeyframes(rule: Rule): boolean {
  const parent = rule.parent as AtRule | undefined;
  return parent?.type === "atrule" && parent.name.endsWith("keyframes");
}

function removeUnread(root: Parameters<NonNullable<Plugin["OnceExit"]>>[0]): number {
  const read = new Set<string>();
  root.walkDecls((declaration) => {
    for (const [, name] of declaration.value.matchAll(/var\(\s*(--[\w-]+)/g)) if (name !== undefined) read.add(name);
  });
  let removed = 0;
  root.walkDecls((declaration) => {
    if (!declaration.prop.startsWith("--") || read.has(declaration.prop)) return;
    declaration.remove();
    removed += 1;
  });
  return removed;
}
