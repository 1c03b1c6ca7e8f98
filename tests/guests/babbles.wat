;; Answers with a name that is no text.
(data (i32.const 700) "\ff\fe")
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (i32.store (local.get $inputs) (i32.const 700))
  (i32.store offset=4 (local.get $inputs) (i32.const 2))
  (call $ok (local.get $inputs) (i32.const 1)))
