#!/usr/bin/env node
// Launcher: the server itself is compiled from src/ to lib/.
import './lib/main.js';
