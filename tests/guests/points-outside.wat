;; Answers with a list that is not in its memory.
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (call $ok (i32.const 0x7ffffff0) (i32.const 1)))
