# The warnings both compilers must be silent under; generated code is exempt.
function(cdc_warnings target)
	target_compile_options(${target} PRIVATE
		-Werror -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
		-Wcast-qual -Wpointer-arith -Wvla -Wswitch-enum -Wimplicit-fallthrough -Wundef)
	if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
		target_compile_options(${target} PRIVATE -Wthread-safety)
	endif()
endfunction()
