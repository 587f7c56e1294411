package guard_test

import (
	"errors"
	"fmt"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// A panic is an error of what was being done, and ends nothing else.
func ExampleTry() {
	err := guard.Try("counting", func() error {
		var counts map[string]int
		counts["a"]++
		return nil
	})
	var panicked *fault.Panic
	fmt.Println(errors.As(err, &panicked))
	// Output: true
}
