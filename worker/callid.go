package worker

import (
	"crypto/sha256"
	"fmt"
	"math/big"
)

// callIDLength is how many letters and digits follow the prefix, as in OpenAI's
// ids.
const callIDLength = 24

// callID names a call of a tool: a function of its place, so that every attempt
// and every reader of the log has the same, and as good as unique among all.
func callID(jobID string, choice, call int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d", jobID, choice, call))
	n, base, digit := new(big.Int).SetBytes(sum[:]), big.NewInt(int64(len(digits))), new(big.Int)
	id := []byte("call_")
	for range callIDLength {
		n.DivMod(n, base, digit)
		id = append(id, digits[digit.Int64()])
	}
	return string(id)
}
