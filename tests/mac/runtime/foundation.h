/** What the test code uses of this Foundation beyond what the bridge sees of it. */
#pragma once
#import <Foundation/Foundation.h>

NS_ASSUME_NONNULL_BEGIN

@interface NSString (VibeRuntime)
- (instancetype)initWithBytes:(const char *)bytes length:(size_t)length;
@end

@interface NSNull : NSObject
@end

@interface NSNumber (VibeRuntime)
+ (NSNumber *)numberWithDouble:(double)value;
+ (NSNumber *)numberWithLongLong:(long long)value;
@property(readonly) long long longLongValue;
@property(readonly) double doubleValue;
@property(readonly) BOOL isBoolean;
@property(readonly) BOOL isFloat;
@end

@interface NSDictionary (VibeRuntime)
@property(readonly) NSArray *allKeys;
@end

@interface NSURL (VibeRuntime)
@property(readonly) NSString *path;
@end

@interface NSError (VibeRuntime)
/** The description is "failure reason", as the framework puts it together. */
+ (instancetype)errorWithDomain:(NSString *)domain
                           code:(NSInteger)code
                        failure:(NSString *)failure
                         reason:(nullable NSString *)reason;
@end

@interface NSException (VibeRuntime)
/** Throws one. */
+ (void)raise:(NSString *)name reason:(nullable NSString *)reason __attribute__((noreturn));
@end

@interface NSFileHandle (VibeRuntime)
@property(readonly) int fileDescriptor;
@end

NS_ASSUME_NONNULL_END
