"""The core: values and pure functions. No I/O, no reading of time, nothing imported from outside this folder
but the errors."""
