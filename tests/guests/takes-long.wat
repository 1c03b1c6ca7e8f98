;; Goes round a loop x[0] million times, and then answers with what it was given.
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (local $rounds i64)
  (local.set $rounds
    (i64.mul
      (i64.trunc_f32_u (f32.load (i32.load offset=20 (local.get $inputs))))
      (i64.const 1000000)))
  (block $done
    (loop $again
      (br_if $done (i64.eqz (local.get $rounds)))
      (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
      (br $again)))
  (call $rename (local.get $inputs))
  (call $ok (local.get $inputs) (i32.const 1)))
