// The console begins here.

import { render } from "preact";
import { findWho } from "./api";
import { App } from "./app";

const place = document.getElementById("console");
if (place) render(<App />, place);
void findWho();
