package guard_test

import (
	"errors"
	"fmt"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// A panic is an error of what was being done, and ends nothing else.
func ExampleTry() {
	var counts []int
	err := guard.Try("counting", func() error {
		counts[3]++
		return nil
	})
	var panicked *fault.Panic
	fmt.Println(errors.As(err, &panicked))
	// Output: true
}
