/**
 * Preloaded (`node --require`), it makes every optional native module of the engine look as if it
 * were not installed. The bench's peers stay.
 */
"use strict";
const { Module } = require("node:module");

const ABSENT = new Set(["lz4-napi", "snappy", "fs-native-extensions", "@bokuweb/zstd-wasm"]);

const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...rest) {
  if (!ABSENT.has(request)) return resolve.call(this, request, ...rest);
  const error = new Error(`Cannot find module '${request}' (kept away)`);
  error.code = "MODULE_NOT_FOUND";
  throw error;
};
