import "./styles.css";
import { render } from "preact";
import { App } from "./app";
import { followLinks } from "./model/route";
import { startClock } from "./model/times";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const applyTheme = () => document.documentElement.classList.toggle("pf-v6-theme-dark", dark.matches);
dark.addEventListener("change", applyTheme);
applyTheme();

startClock();
followLinks();
const root = document.getElementById("app");
if (root !== null) render(<App />, root);
