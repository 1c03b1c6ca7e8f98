;; A component that answers every request with "hello": what a host can do at best.
;;
;;    0  the result of the call before
;;  128  a header's name and value, and the body
;;  256  room for what the host returns by allocation, which it never does
(module
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]fields.append"
    (func $append (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $write (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $flush (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $close (param i32)))

  (memory (export "memory") 1)
  (data (i32.const 128) "content-length5hello")

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (i32.const 256))

  ;; The handle in a result at 0, which must be one of success.
  (func $handle (result i32)
    (if (i32.load8_u (i32.const 0)) (then (unreachable)))
    (i32.load (i32.const 4)))

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (local $headers i32) (local $reply i32) (local $content i32) (local $stream i32)
    (local.set $headers (call $fields))
    (call $append
      (local.get $headers) (i32.const 128) (i32.const 14) (i32.const 142) (i32.const 1) (i32.const 0))
    (local.set $reply (call $response (local.get $headers)))
    (call $body (local.get $reply) (i32.const 0))
    (local.set $content (call $handle))
    (call $set
      (local.get $out) (i32.const 0) (local.get $reply)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $write (local.get $content) (i32.const 0))
    (local.set $stream (call $handle))
    (call $flush (local.get $stream) (i32.const 143) (i32.const 5) (i32.const 0))
    (call $close (local.get $stream))
    (call $finish (local.get $content) (i32.const 0) (i32.const 0) (i32.const 0))))
