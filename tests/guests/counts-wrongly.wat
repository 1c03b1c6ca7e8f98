;; Answers with a list of four thousand million tensors.
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (call $ok (local.get $inputs) (i32.const -1)))
