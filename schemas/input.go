package schemas

// InputVersion is the version of an [Input]. It is above that of every [Job] that
// a release without inputs reads, so that such a worker hands it back.
const InputVersion = 2

// Input stands for a job that is too large for a message: the job itself is an
// object in the bucket "inputs" of the broker's object store, under the name
// <owner>.<job>, the owner as a slug.
type Input struct {
	// Version is 2: a release that does not know inputs leaves the job to a newer one.
	Version int `json:"v" jsonschema:"minimum=2,maximum=2"`
	// Input tells the object.
	Input InputRef `json:"input"`
	// Model is the job's.
	Model string `json:"model" jsonschema:"minLength=1,maxLength=200"`
	// DeadlineMS is the job's, for who does not read the object.
	DeadlineMS int64 `json:"deadline_ms,omitempty" jsonschema:"minimum=0,maximum=604800000"`
	// Agent is the job's.
	Agent string `json:"agent,omitempty" jsonschema:"maxLength=200"`
}

// InputRef is what an object must be.
type InputRef struct {
	// SHA256 is the hash of the object, in hex.
	SHA256 string `json:"sha256" jsonschema:"pattern=^[0-9a-f]{64}$"`
	// Size is its length in bytes.
	Size int64 `json:"size" jsonschema:"minimum=1"`
}

// Validate reports the first field that cannot be accepted, as a
// [*FieldError].
func (i Input) Validate() error {
	if i.Version != InputVersion {
		return invalid("v", "must be %d, not %d", InputVersion, i.Version)
	}
	if err := i.Input.validate("input"); err != nil {
		return err
	}
	if err := checkName("model", i.Model); err != nil {
		return err
	}
	if i.DeadlineMS < 0 || i.DeadlineMS > MaxDeadlineMS {
		return invalid("deadline_ms", "must be 0 … %d, not %d", MaxDeadlineMS, i.DeadlineMS)
	}
	if i.Agent == "" {
		return nil
	}
	return checkName("agent", i.Agent)
}

func (r InputRef) validate(field string) error {
	if !isSHA256(r.SHA256) {
		return invalid(field+".sha256", "must be a SHA-256 as 64 hexadecimal digits in lower case")
	}
	if r.Size < 1 {
		return invalid(field+".size", "must be at least 1, not %d", r.Size)
	}
	return nil
}
