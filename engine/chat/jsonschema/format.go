package jsonschema

// The parts of formats. Lengths are bounded so that the bounds of the whole,
// which no grammar could count, are kept: 64 characters before the @ of an email
// address, 253 of a host name.
const (
	leapDay = `(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29`
	date    = `(?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))|` +
		leapDay + `)`
	// RFC 3339 allows a leap second where one was; most readers do not.
	clock = `(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)`

	datePart = `(?:\d{1,9}Y(?:\d{1,9}M(?:\d{1,9}D)?)?|\d{1,9}M(?:\d{1,9}D)?|\d{1,9}D)`
	timePart = `T(?:\d{1,9}H(?:\d{1,9}M(?:\d{1,9}S)?)?|\d{1,9}M(?:\d{1,9}S)?|\d{1,9}S)`
	duration = `P(?:\d{1,9}W|` + datePart + `(?:` + timePart + `)?|` + timePart + `)`

	label    = `[A-Za-z0-9](?:[A-Za-z0-9-]{0,40}[A-Za-z0-9])?`
	hostname = label + `(?:\.` + label + `){0,4}`
	atom     = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
	email    = atom + `{1,32}(?:\.` + atom + `{1,15}){0,2}@` + label + `(?:\.` + label + `){0,3}\.[A-Za-z]{2,24}`

	octet  = `(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`
	ipv4   = octet + `(?:\.` + octet + `){3}`
	hextet = `[0-9A-Fa-f]{1,4}`
	ipv6   = `(?:(?:` + hextet + `:){7}` + hextet + `|(?:` + hextet + `:){1,7}:|(?:` + hextet + `:){1,6}:` + hextet +
		`|(?:` + hextet + `:){1,5}(?::` + hextet + `){1,2}|(?:` + hextet + `:){1,4}(?::` + hextet + `){1,3}` +
		`|(?:` + hextet + `:){1,3}(?::` + hextet + `){1,4}|(?:` + hextet + `:){1,2}(?::` + hextet + `){1,5}` +
		`|` + hextet + `:(?::` + hextet + `){1,6}|:(?::` + hextet + `){1,7}|::)`

	hex  = `[0-9A-Fa-f]`
	uuid = hex + `{8}-` + hex + `{4}-` + hex + `{4}-` + hex + `{4}-` + hex + `{12}`

	pathChar  = `(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})`
	queryChar = `(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})`
	uriHost   = `[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[1-9]\d{0,3})?`
	uri       = `[A-Za-z][A-Za-z0-9+.-]{0,31}:(?://` + uriHost + `(?:/` + pathChar + `*)*|/?` + pathChar + `+(?:/` + pathChar + `*)*)` +
		`(?:\?` + queryChar + `*)?(?:#` + queryChar + `*)?`
)

// formatPattern is the pattern of a format. It is one that every validator
// accepts: rare ways of writing are left out, such as quoted local parts and
// leap seconds.
func formatPattern(name string) (string, bool) {
	source := map[string]string{
		"date-time": date + "T" + clock,
		"date":      date,
		"time":      clock,
		"duration":  duration,
		"uuid":      uuid,
		"email":     email,
		"hostname":  hostname,
		"ipv4":      ipv4,
		"ipv6":      ipv6,
		"uri":       uri,
	}[name]
	return "^(?:" + source + ")$", source != ""
}
