;; Runs into an instruction that cannot be run, where an element of `x` is below zero; else it answers with what it was given.
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (local $element i32) (local $end i32)
  (local.set $element (i32.load offset=20 (local.get $inputs)))
  (local.set $end (i32.add (local.get $element) (i32.load offset=24 (local.get $inputs))))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $element) (local.get $end)))
      (if (f32.lt (f32.load (local.get $element)) (f32.const 0)) (then (unreachable)))
      (local.set $element (i32.add (local.get $element) (i32.const 4)))
      (br $next)))
  (call $rename (local.get $inputs))
  (call $ok (local.get $inputs) (i32.const 1)))
