;; Answers with a shape of two dimensions, where one was promised; it holds as many elements.
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (call $rename (local.get $inputs))
  (i64.store (i32.const 4160) (i64.const 1))
  (i64.store (i32.const 4168) (i64.load (i32.load offset=12 (local.get $inputs))))
  (i32.store offset=12 (local.get $inputs) (i32.const 4160))
  (i32.store offset=16 (local.get $inputs) (i32.const 2))
  (call $ok (local.get $inputs) (i32.const 1)))
