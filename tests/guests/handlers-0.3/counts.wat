;; Counts its requests: the first is answered with 200, the second with 201, and at the third it traps.
(import "wasi:http/types@0.3.0" "[constructor]fields" (func $fields (result i32)))
(import "wasi:http/types@0.3.0" "[future-new-1][static]response.new" (func $new_trailers (result i64)))
(import "wasi:http/types@0.3.0" "[async-lower][future-write-1][static]response.new"
  (func $write_trailers (param i32 i32) (result i32)))
(import "wasi:http/types@0.3.0" "[static]response.new" (func $response (param i32 i32 i32 i32 i32)))
(import "wasi:http/types@0.3.0" "[method]response.set-status-code" (func $set_status (param i32 i32) (result i32)))

(memory (export "memory") 1)
(global $requests (mut i32) (i32.const 0))

(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (unreachable))

;; What it gives lies at 16: that there is a response, and at 24 the response. At 64 there are the trailers: none. At 128
;; is what `response.new` gives.
(func (export "wasi:http/handler@0.3.0#handle") (param $request i32) (result i32)
  (local $trailers i64)
  (if (i32.eq (global.get $requests) (i32.const 2)) (then unreachable))
  (local.set $trailers (call $new_trailers))
  (call $response
    (call $fields)
    (i32.const 0) (i32.const 0)
    (i32.wrap_i64 (local.get $trailers))
    (i32.const 128))
  ;; The host reads them when the call has ended.
  (drop (call $write_trailers (i32.wrap_i64 (i64.shr_u (local.get $trailers) (i64.const 32))) (i32.const 64)))
  (drop (call $set_status (i32.load (i32.const 128)) (i32.add (i32.const 200) (global.get $requests))))
  (global.set $requests (i32.add (global.get $requests) (i32.const 1)))
  (i32.store (i32.const 24) (i32.load (i32.const 128)))
  (i32.const 16))
