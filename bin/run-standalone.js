#!/usr/bin/env node
// Runs the server on 127.0.0.1 without authentication and without root rights, for a first look.
import '../lib/cli/run-standalone.js';
