;; Answers, and never returns from cleaning up.
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (call $rename (local.get $inputs))
  (call $ok (local.get $inputs) (i32.const 1)))
(func (export "cabi_post_samara:inference/model@0.1.0#infer") (param $result i32)
  (loop $for_ever (br $for_ever)))
