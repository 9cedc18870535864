#!/usr/bin/env node
// Looks after the images of a server: `imgapiadm help` says how.
import '../lib/cli/imgapiadm.js';
