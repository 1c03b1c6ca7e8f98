// onnxruntime-web on Node's WebAssembly as a peer: runs a model as often as asked, and tells how long each run took.
//
//     node benches/peers/onnxruntime_web.mjs MODEL.onnx REQUEST.json
//
// speaks as benches/README.md says of all peers. The build with 128-bit SIMD, which is the only one there is, on one thread;
// every optimisation, inputs made once.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import * as ort from "onnxruntime-web";

const ARRAYS = { FP32: Float32Array, INT32: Int32Array, INT64: BigInt64Array };
const TYPES = { FP32: "float32", INT32: "int32", INT64: "int64" };
const DATATYPES = { float32: "FP32", int32: "INT32", int64: "INT64" };

function tensorOf({ datatype, shape, data }) {
  const elements = datatype === "INT64" ? data.map(BigInt) : data;
  return new ort.Tensor(TYPES[datatype], ARRAYS[datatype].from(elements), shape);
}

function toJson(name, { type, dims, data }) {
  return { name, datatype: DATATYPES[type], shape: dims, data: Array.from(data, Number) };
}

function versionOf(name) {
  // Its package.json is not among what it exports.
  const folder = dirname(createRequire(import.meta.url).resolve(name));
  return JSON.parse(readFileSync(join(folder, "..", "package.json"), "utf8")).version;
}

const [model, request] = process.argv.slice(2);
const version = `onnxruntime-web ${versionOf("onnxruntime-web")}, Node ${process.versions.node}`;
const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal";

async function load() {
  const session = await ort.InferenceSession.create(readFileSync(model), {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  const { inputs } = JSON.parse(readFileSync(request, "utf8"));
  return [session, Object.fromEntries(inputs.map((input) => [input.name, tensorOf(input)]))];
}

try {
  const [session, feeds] = await load();
  const results = await session.run(feeds);
  tell({ version, outputs: session.outputNames.map((name) => toJson(name, results[name])) });
  for await (const line of createInterface({ input: process.stdin })) {
    const times = [];
    for (let run = Number(line); run > 0; run -= 1) {
      const start = process.hrtime.bigint();
      await session.run(feeds);
      times.push(Number(process.hrtime.bigint() - start));
    }
    tell(times);
  }
} catch (error) {
  tell({ version, error: String(error?.message ?? error) });
}
