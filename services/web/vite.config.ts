import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { usedCss } from "./used-css.ts";

const OUT = "pulp_web/static";
const LEAST_BYTES = 500; // a smaller answer fits into one packet anyway

/** Writes NAME.gz and NAME.br beside each file, so that the server compresses nothing. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    closeBundle() {
      for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || /\.(woff2|br|gz)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const content = readFileSync(path);
        if (content.length < LEAST_BYTES) continue;
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
        const quality = { [constants.BROTLI_PARAM_QUALITY]: 11 };
        writeFileSync(`${path}.br`, brotliCompressSync(content, { params: quality }));
      }
    },
  };
}

/** The packages whose parts the build copies. Their licences ask for their texts to go with them. */
const BUNDLED = ["@patternfly/patternfly", "@preact/signals", "@preact/signals-core", "preact", "uplot"];

/** Writes LICENSES.txt: name, version, licence and its text, for each bundled package. */
function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    closeBundle() {
      const texts = BUNDLED.map((name) => {
        const folder = join("node_modules", name);
        const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
        const text = file === undefined ? "" : `\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
        return `${name} ${about.version}: ${about.license}\n${text}`;
      });
      writeFileSync(join(OUT, "LICENSES.txt"), texts.join("\n----\n\n"));
    },
  };
}

export default defineConfig({
  base: "/ui/",
  build: {
    outDir: OUT,
    emptyOutDir: true,
    assetsInlineLimit: 0, // the policy of the page allows no data: addresses
    modulePreload: { polyfill: false },
    target: "es2022",
    reportCompressedSize: false,
    chunkSizeWarningLimit: 400,
  },
  css: { postcss: { plugins: [usedCss("src")] } },
  plugins: [
    { name: "emptied", apply: "build", buildStart: () => rmSync(OUT, { recursive: true, force: true }) },
    licences(),
    compressed(),
  ],
  server: { proxy: { "/pulp": process.env.PULP_API ?? "http://127.0.0.1:24817" } },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
