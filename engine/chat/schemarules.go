package chat

// schema adds the rules of a JSON Schema, and returns the name of their root.
// path is the schema's place in the request.
func (r *rules) schema(_ []byte, _ string) (string, error) {
	const blank = `[ \n]{0,2}`
	p := r.prefix("json")
	r.text.WriteString(p + "value ::= " + p + "object | " + p + "array | " + p + "string | " + p + `number | "true" | "false" | "null"` + "\n" +
		p + `object ::= "{" ` + blank + " (" + p + "member (" + blank + ` "," ` + blank + " " + p + "member)*)? " + blank + ` "}"` + "\n" +
		p + "member ::= " + p + "string " + blank + ` ":" ` + blank + " " + p + "value\n" +
		p + `array ::= "[" ` + blank + " (" + p + "value (" + blank + ` "," ` + blank + " " + p + "value)*)? " + blank + ` "]"` + "\n" +
		p + `string ::= "\"" ([^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\""` + "\n" +
		p + `number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?` + "\n")
	return p + "object", nil
}
